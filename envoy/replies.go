package envoy

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/envoy/internal/flow"
)

// privateStatus is what both filters answer when they could not ask us. It is
// ours alone, so that a mapper can tell it from every status that Check sends.
const privateStatus = 507

// reply is one mapper of local_reply_config: an answer that Envoy makes itself
// and what it becomes. The first that matches wins.
type reply struct {
	Comment    string
	Host       string   // regular expression on :authority; "" for any
	Status     int      // the status that Envoy chose; 0 for any
	Flags      []string // response flags, any of them; empty for any
	Unfiltered bool     // answered before any filter ran
	NewStatus  int      // 0 keeps Envoy's
	RetryAfter bool
	Body       string // YAML flow mapping
}

// Conditions are the filters that must all hold, as YAML flow mappings.
func (r reply) Conditions() (list []string) {
	if r.Host != "" {
		list = append(list, `{header_filter: {header: {name: ":authority", string_match: {safe_regex: {regex: `+strconv.Quote(r.Host)+`}}}}}`)
	}
	if r.Status != 0 {
		list = append(list, fmt.Sprintf(`{status_code_filter: {comparison: {op: EQ, value: {default_value: %d, runtime_key: sallyport.local_reply.%[1]d}}}}`, r.Status))
	}
	if len(r.Flags) != 0 {
		list = append(list, `{response_flag_filter: {flags: [`+strings.Join(r.Flags, ", ")+`]}}`)
	}
	if r.Unfiltered {
		list = append(list, `{header_filter: {header: {name: x-sallyport-sid, present_match: true, invert_match: true}}}`)
	}
	return list
}

// replies are the mappers for one API, or for all other hosts where api is nil.
func (b *builder) replies(api *sallyport.API) []reply {
	status := func(k sallyport.Kind) int { return response(api, k).Status }
	list := []reply{
		{Comment: "a filter could not ask Sallyport", Status: privateStatus,
			NewStatus: status(sallyport.KindUnavailable), RetryAfter: true, Body: b.body(api, sallyport.KindUnavailable)},
		{Comment: "the upstream could not be reached, or broke off before it answered",
			Flags:     []string{"UF", "UO", "UH", "UC", "UR", "LR", "UPE", "NC", "DF", "OM"},
			NewStatus: status(sallyport.KindUnavailable), RetryAfter: true, Body: b.body(api, sallyport.KindUnavailable)},
		{Comment: "the upstream answered too late, or the client sent too slowly: 504 and 408 stay",
			Flags: []string{"UT", "SI", "DT", "UMSDR"}, Body: b.body(api, sallyport.KindUnavailable)},
		{Comment: "no route: CONNECT, since the catch-all takes everything else", Flags: []string{"NR"},
			NewStatus: status(sallyport.KindNotFound), Body: b.body(api, sallyport.KindNotFound)},
		{Comment: "a body over the limit", Status: 413,
			NewStatus: status(sallyport.KindTooLarge), Body: b.body(api, sallyport.KindTooLarge)},
		{Comment: "an answer of ours that Envoy refused to pass on", Status: 500,
			NewStatus: status(sallyport.KindUnavailable), RetryAfter: true, Body: b.body(api, sallyport.KindUnavailable)},
		{Comment: "a request that took too long to arrive", Status: 408, Body: b.body(api, sallyport.KindBadRequest)},
		{Comment: "refused before any filter ran: not a path, such as OPTIONS *", Status: 404, Unfiltered: true,
			NewStatus: status(sallyport.KindNotFound), Body: b.body(api, sallyport.KindNotFound)},
		{Comment: "refused before any filter ran: malformed; Envoy's status stays", Unfiltered: true,
			Body: b.body(api, sallyport.KindBadRequest)},
	}
	host := hostExpression(api)
	for i := range list {
		list[i].Host = host
	}
	return list
}

// ownReplies are the answers that Envoy makes by itself on the hosts of p
// alone, since others share the listener, and the expression of those hosts.
func (b *builder) ownReplies(p *sallyport.Policy) (list []reply, expression string) {
	var hosts []string
	for _, api := range p.APIs {
		if len(api.Hosts) > 0 {
			list = append(list, b.replies(api)...)
			hosts = append(hosts, api.Hosts...)
		}
	}
	return list, hostsExpression(hosts)
}

// sameAnswers reports whether an API answers as other hosts do, so that it
// needs no mappers of its own.
func sameAnswers(own, others []reply) bool {
	return slices.EqualFunc(own, others, func(a, b reply) bool {
		return a.NewStatus == b.NewStatus && a.Body == b.Body
	})
}

// hostExpression matches the Host header of an API's requests as clients write
// it: any case, with or without the trailing dot and the port.
func hostExpression(api *sallyport.API) string {
	if api == nil {
		return ""
	}
	return hostsExpression(api.Hosts)
}

func hostsExpression(hosts []string) string {
	quoted := make([]string, len(hosts))
	for i, h := range hosts {
		quoted[i] = regexp.QuoteMeta(h)
	}
	return `(?i)(?:` + strings.Join(quoted, "|") + `)\.?(?::[0-9]*)?`
}

// response is how api answers k, or the default where it says nothing.
func response(api *sallyport.API, k sallyport.Kind) sallyport.Response {
	r := k.Default()
	if api == nil {
		return r
	}
	own := api.Response(k)
	if own.Status != 0 {
		r.Status = own.Status
	}
	if own.Code != "" {
		r.Code = own.Code
	}
	if own.Message != "" {
		r.Message = own.Message
	}
	return r
}

// checkStatuses refuses answers of Check that a mapper would take for Envoy's.
func (b *builder) checkStatuses(api *sallyport.API) {
	taken := map[int]string{privateStatus: "is private to the configuration of Envoy", 500: "is what Envoy answers by itself",
		408: "is what Envoy answers by itself", 413: "is for bodies that are too large"}
	for _, k := range sallyport.Kinds() {
		status := response(api, k).Status
		if why, bad := taken[status]; bad && !(status == 413 && k == sallyport.KindTooLarge) {
			b.fault("api %s: errors: %s: status %d %s; its body would be replaced", api.Name, k, status, why)
		}
	}
}

// plainBody is the body where no Render is given.
func plainBody(api *sallyport.API, k sallyport.Kind) string {
	r := response(api, k)
	text, err := json.Marshal(map[string]any{"error": map[string]any{"code": r.Code, "message": r.Message}})
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(text), "%", "%%")
}

// body renders the answer of kind k as a YAML flow mapping for json_format,
// whose strings Envoy escapes itself: a client's request id cannot break out.
func (b *builder) body(api *sallyport.API, k sallyport.Kind) string {
	text, err := flow.Mapping(b.options.Render(api, k))
	if err != nil {
		name := "(no API)"
		if api != nil {
			name = api.Name
		}
		b.fault("api %s: errors: %s: body: %w", name, k, err)
	}
	return text
}

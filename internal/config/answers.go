package config

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/render"
)

// defaultTemplate is how refusals look where the file says nothing else.
const defaultTemplate = `{"error":{"code":"${code}","message":"${message}","request_id":"${request_id}"}}`

// checkAnswers compiles the answers that have names.
func (a *api) checkAnswers() {
	for _, name := range slices.Sorted(maps.Keys(a.in.Answers)) {
		in, path := a.in.Answers[name], key(a.sub("answers"), name)
		if in.Ref != "" {
			a.add(path, "names another answer", "write {status: …, body: …}")
			continue
		}
		a.answer(path, &in)
	}
}

// answer compiles an answer, or finds the one it names.
func (a *api) answer(path string, in *Answer) *sallyport.Answer {
	if in == nil {
		return nil
	}
	if in.Ref != "" {
		named, ok := a.in.Answers[in.Ref]
		if !ok {
			if a.whole(a.sub("answers")) {
				a.known(path, "answer", in.Ref, slices.Sorted(maps.Keys(a.in.Answers)))
			}
			return nil
		}
		return newAnswer(named) // checked where it stands
	}
	a.checkAnswer(path, in)
	return newAnswer(*in)
}

func newAnswer(in Answer) *sallyport.Answer {
	out := &sallyport.Answer{Status: in.Status, Body: string(in.Body), Token: string(in.Token)}
	if out.Status == 0 {
		out.Status = http.StatusOK
	}
	return out
}

func (a *api) checkAnswer(path string, in *Answer) {
	status, body := field(path, "status"), field(path, "body")
	if a.has(status) && (in.Status < 200 || in.Status > 599) {
		a.add(status, fmt.Sprintf("status %d is not one of an answer", in.Status), "200 to 599")
	}
	switch empty := in.Status == http.StatusNoContent || in.Status == http.StatusNotModified; {
	case empty && a.has(body):
		a.add(body, fmt.Sprintf("stands beside status %d, which has no body", in.Status), "remove it")
	case !empty && !a.has(body):
		a.add(body, "is missing", "write the body of the answer as YAML; it is sent as JSON")
	}
	a.template(body, in.Body)
	a.template(field(path, "token"), in.Token)
}

// template checks the placeholders of a JSON template.
func (a *api) template(path string, text Body) {
	if text == "" {
		return
	}
	if _, err := render.Compile(string(text)); err != nil {
		a.addError(path, err)
	}
}

// errors compiles how refusals look.
func (a *api) errors() {
	path := a.sub("errors")
	a.template(field(path, "template"), a.in.Errors.Template)
	for _, kind := range sallyport.Kinds() {
		shape := a.in.Errors.Kinds[kind.String()]
		a.checkShape(field(path, kind.String()), shape)
		a.out.Errors[kind] = a.response(kind, shape)
	}
}

func (a *api) checkShape(path string, in ErrorShape) {
	if a.has(field(path, "status")) && (in.Status < 400 || in.Status > 599) {
		a.add(field(path, "status"), fmt.Sprintf("status %d is not one of a refusal", in.Status), "400 to 599")
	}
	if _, err := render.CompileText(in.Message); err != nil {
		a.addError(field(path, "message"), err)
	}
	if in.WWWAuthenticate != "" && !headerValue.MatchString(in.WWWAuthenticate) {
		a.add(field(path, "www_authenticate"), "cannot stand in a header", "write printable ASCII, such as Bearer realm=\"orders\"")
	}
	a.template(field(path, "template"), in.Template)
}

// response merges what the file says of a kind, of all kinds, and the default.
func (a *api) response(kind sallyport.Kind, in ErrorShape) sallyport.Response {
	out := kind.Default()
	out.Type, out.Body = a.in.Errors.Type, defaultTemplate
	if t := a.in.Errors.Template; t != "" {
		out.Body = string(t)
	}
	if in.Status != 0 {
		out.Status = in.Status
	}
	override(&out.Code, in.Code)
	override(&out.Message, in.Message)
	override(&out.Type, in.Type)
	override(&out.Body, string(in.Template))
	if out.Status == http.StatusUnauthorized {
		out.WWWAuthenticate = a.challenge(kind)
	}
	override(&out.WWWAuthenticate, in.WWWAuthenticate)
	return out
}

func override(dst *string, with string) {
	if with != "" {
		*dst = with
	}
}

// challenge is the WWW-Authenticate of a 401: the scheme of the first place
// where a credential is read. RFC 6750 §3.1 wants the error of a Bearer that
// was sent and is no good.
func (a *api) challenge(kind sallyport.Kind) string {
	scheme := "ApiKey"
	if places := a.out.Places; len(places) > 0 && places[0].Scheme != "" {
		scheme = places[0].Scheme
	}
	text := fmt.Sprintf("%s realm=%q", scheme, a.out.Name)
	if strings.EqualFold(scheme, "Bearer") && kind != sallyport.KindMissingCredential {
		text += `, error="invalid_token"`
	}
	return text
}

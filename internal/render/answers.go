package render

import (
	"fmt"
	"time"

	"github.com/sallyport/sallyport"
)

// Answers are the refusals of one API, compiled. They are immutable.
type Answers struct {
	api   *sallyport.API // nil for the answers to hosts that no API lists
	kinds []shape
}

type shape struct {
	response sallyport.Response
	message  *Template
	body     *Template
}

// defaultBody is how a refusal looks where no API says how.
const defaultBody = `{"error":{"code":"${code}","message":"${message}","request_id":"${request_id}"}}`

// NewAnswers compiles the refusals of api. A nil api gets the defaults.
func NewAnswers(api *sallyport.API) (*Answers, error) {
	a := &Answers{api: api}
	for _, k := range sallyport.Kinds() {
		r := k.Default()
		if api != nil && api.Response(k).Status != 0 {
			r = *api.Response(k)
		}
		if r.Body == "" {
			r.Body = defaultBody
		}
		s := shape{response: r}
		var err error
		if s.message, err = CompileText(r.Message); err != nil {
			return nil, fmt.Errorf("message of %s: %w", k, err)
		}
		if s.body, err = Compile(r.Body); err != nil {
			return nil, fmt.Errorf("template of %s: %w", k, err)
		}
		a.kinds = append(a.kinds, s)
	}
	return a, nil
}

// Refusal is one rendered refusal. Its strings live as long as the Text that
// they were rendered into.
type Refusal struct {
	Status  int
	Body    string
	Headers []sallyport.Header
}

// Refuse renders the refusal of kind k into t, appending its headers to
// headers: content type, challenge, quota as v tells it, and Retry-After.
func (a *Answers) Refuse(k sallyport.Kind, vars *Vars, v *sallyport.Verdict, now time.Time, headers []sallyport.Header, t *Text) Refusal {
	vars.Message = ""
	return a.RefuseSaying(k, vars, v, now, headers, t)
}

// RefuseSaying is Refuse with the message that stands in vars, if any, in the
// place of the API's own: it says more of what the caller did wrong.
func (a *Answers) RefuseSaying(k sallyport.Kind, vars *Vars, v *sallyport.Verdict, now time.Time, headers []sallyport.Header, t *Text) Refusal {
	s := &a.kinds[k]
	vars.RetryAfter = retryAfter(s.response.Status, v)
	vars.Code, vars.Type = s.response.Code, s.response.Type
	if vars.Message == "" {
		vars.Message = t.Since(t.Len(), s.message.Append(t.Buf(), vars))
	}
	r := Refusal{Status: s.response.Status, Body: t.Since(t.Len(), s.body.Append(t.Buf(), vars))}

	r.Headers = append(headers, sallyport.Header{Name: "content-type", Value: "application/json"})
	if s.response.WWWAuthenticate != "" {
		r.Headers = append(r.Headers, sallyport.Header{Name: "www-authenticate", Value: s.response.WWWAuthenticate})
	}
	if a.api != nil {
		r.Headers = AppendQuota(r.Headers, &a.api.Headers, v, now, t)
	}
	if vars.RetryAfter > 0 {
		r.Headers = append(r.Headers, sallyport.Header{Name: "retry-after", Value: t.Int(vars.RetryAfter)})
	}
	return r
}

// retryAfter returns the seconds after which a retry makes sense, 0 where none
// does: what the exhausted window says, and a second for our own failures and
// for concurrency.
func retryAfter(status int, v *sallyport.Verdict) int64 {
	switch {
	case status == 429 && v.RetryAfter > 0:
		return int64(v.RetryAfter / time.Second)
	case status == 429, status == 503:
		return 1
	}
	return 0
}

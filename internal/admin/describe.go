package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"path"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// describe serves the description, made once: huma would make it at the first
// request, unguarded, and its page for people loads scripts from elsewhere.
func (h *Handler) describe(api *huma.OpenAPI) error {
	spec, err := json.Marshal(api)
	if err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	var page bytes.Buffer
	if err := docs.Execute(&page, pageOf(api)); err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	h.mux.HandleFunc("GET /admin/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		w.Write(spec)
	})
	h.mux.HandleFunc("GET /admin/docs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		w.Write(page.Bytes())
	})
	return nil
}

// docPage is what the page for people shows.
type docPage struct {
	Title      string
	Operations []docOperation
	Objects    []docObject
}

type docOperation struct {
	Method, Path, Summary, Body string
	Parameters                  []docField
}

type docObject struct {
	Name   string
	Fields []docField
}

type docField struct {
	Name, Type, Doc string
	Required        bool
}

func pageOf(api *huma.OpenAPI) docPage {
	page := docPage{Title: api.Info.Title}
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		item := api.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Patch, item.Put, item.Delete} {
			if op != nil {
				page.Operations = append(page.Operations, docOperationOf(op))
			}
		}
	}
	schemas := api.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		object := docObject{Name: name}
		for _, field := range slices.Sorted(maps.Keys(schemas[name].Properties)) {
			s := schemas[name].Properties[field]
			object.Fields = append(object.Fields, docField{field, typeOf(s), s.Description, slices.Contains(schemas[name].Required, field)})
		}
		page.Objects = append(page.Objects, object)
	}
	return page
}

func docOperationOf(op *huma.Operation) docOperation {
	d := docOperation{Method: op.Method, Path: op.Path, Summary: op.Summary}
	for _, p := range op.Parameters {
		d.Parameters = append(d.Parameters, docField{p.Name, p.In + ", " + typeOf(p.Schema), p.Schema.Description, p.Required})
	}
	if op.RequestBody != nil {
		for _, media := range op.RequestBody.Content {
			d.Body = typeOf(media.Schema)
		}
	}
	return d
}

func typeOf(s *huma.Schema) string {
	switch {
	case s.Ref != "":
		return path.Base(s.Ref)
	case s.Items != nil:
		return "list of " + typeOf(s.Items)
	case s.Format != "":
		return s.Format
	}
	return s.Type
}

var docs = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{.Title}}</title>
<h1>{{.Title}}</h1>
<p>Every call carries <code>Authorization: Bearer TOKEN</code>. Errors are <code>application/problem+json</code>.
The same for machines: <a href="/admin/openapi.json">/admin/openapi.json</a>.</p>
{{range .Operations}}<h2><code>{{.Method}} {{.Path}}</code></h2>
<p>{{.Summary}}.{{with .Body}} Send {{if eq . "object"}}JSON{{else}}<a href="#{{.}}">{{.}}</a>{{end}}.{{end}}</p>
{{template "fields" .Parameters}}{{end}}
<h1>Objects</h1>
{{range .Objects}}<h2 id="{{.Name}}">{{.Name}}</h2>
{{template "fields" .Fields}}{{end}}
</html>
{{define "fields"}}{{if .}}<ul>
{{range .}}<li><code>{{.Name}}</code> ({{.Type}}{{if .Required}}, required{{end}}){{with .Doc}}: {{.}}{{end}}</li>
{{end}}</ul>
{{end}}{{end}}`))

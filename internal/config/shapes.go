package config

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport"
)

// The types here are written in more than one form.

// decode reads a name, or a mapping.
func (s *Scope) decode(d *decoder, n node) {
	if d.isNothing(n) {
		return
	}
	if n.Kind == yaml.ScalarNode {
		s.Name = d.text(n)
		return
	}
	type plain Scope
	decodeAs(d, n, (*plain)(s))
}

// decode reads a name, or a mapping.
func (r *ResetHeader) decode(d *decoder, n node) {
	if d.isNothing(n) {
		return
	}
	if n.Kind == yaml.ScalarNode {
		r.Name = d.text(n)
		return
	}
	type plain ResetHeader
	decodeAs(d, n, (*plain)(r))
}

// decode reads one pepper, or a list of them.
func (p *Peppers) decode(d *decoder, n node) {
	if d.isNothing(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		*p = make(Peppers, 1)
		decodeAs(d, n, &(*p)[0])
		return
	}
	if len(n.Content) == 0 {
		d.at(n.line, n.path, "is an empty list", "write {file: PATH} or {env: NAME}")
	}
	*p = make(Peppers, len(n.Content))
	for i := range n.Content {
		decodeAs(d, d.element(n, i).resolved(), &(*p)[i])
	}
}

// decode reads the name of an answer, or an answer.
func (a *Answer) decode(d *decoder, n node) {
	if d.isNothing(n) {
		return
	}
	if n.Kind == yaml.ScalarNode {
		a.Ref = d.text(n)
		return
	}
	type plain Answer
	decodeAs(d, n, (*plain)(a))
}

// decode reads tenant, unlimited, one window or a list of windows.
func (w *Windows) decode(d *decoder, n node) {
	switch {
	case d.isNothing(n):
	case n.Kind == yaml.SequenceNode:
		if len(n.Content) == 0 {
			d.at(n.line, n.path, "is an empty list, which lets nothing through", "give it a rate such as 60/1m, or write unlimited or tenant")
		}
		w.List = make([]Window, len(n.Content))
		for i := range n.Content {
			w.List[i].decode(d, d.element(n, i).resolved())
		}
	case n.Kind == yaml.ScalarNode && n.Value == "tenant":
		w.FromTenant = true
	case n.Kind == yaml.ScalarNode && n.Value == "unlimited":
		w.Unlimited = true
	default:
		w.List = make([]Window, 1)
		w.List[0].decode(d, n)
	}
}

// decode reads where it is counted, or a mapping.
func (c *Counters) decode(d *decoder, n node) {
	if d.isNothing(n) {
		return
	}
	*c = Counters{}
	if n.Kind != yaml.ScalarNode {
		type plain Counters
		decodeAs(d, n, (*plain)(c))
		return
	}
	switch text := d.text(n); text {
	case "":
	case "memory":
		c.Memory = true
	default:
		c.Redis = List{text}
	}
}

// decode reads a number, or a mapping.
func (w *Weight) decode(d *decoder, n node) {
	if d.isNothing(n) {
		return
	}
	if n.Kind == yaml.ScalarNode {
		w.Default = d.number(n, 53)
		return
	}
	w.mapped = true
	type plain Weight
	decodeAs(d, n, (*plain)(w))
}

// decode reads one text or a list of them, empty ones too.
func (v *Values) decode(d *decoder, n node) {
	if d.isNothing(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		*v = Values{d.anyText(n)}
		return
	}
	if len(n.Content) == 0 {
		d.at(n.line, n.path, "is an empty list, which no caller matches", `give it a value; "" is a caller without the attribute`)
	}
	*v = make(Values, len(n.Content))
	for i := range n.Content {
		(*v)[i] = d.anyText(d.element(n, i).resolved())
	}
}

// decode reads a window in one text, or a mapping.
func (w *Window) decode(d *decoder, n node) {
	if d.isNothing(n) {
		return
	}
	if n.Kind == yaml.ScalarNode {
		d.scalar(n, &w.Rate)
		return
	}
	type plain Window
	decodeAs(d, n, (*plain)(w))
	if !d.has(field(n.path, "rate")) && n.Kind == yaml.MappingNode {
		d.at(n.line, n.path, "has no rate", "write {rate: 60/1m}")
	}
}

// decode reads template and type, and one entry a kind of refusal.
func (e *Errors) decode(d *decoder, n node) {
	if d.isNothing(n) {
		return
	}
	pairs := d.pairs(n)
	names := []member{{name: "template"}, {name: "type"}}
	for _, k := range sallyport.Kinds() {
		names = append(names, member{name: k.String()})
	}
	e.Kinds = map[string]ErrorShape{}
	for _, p := range pairs {
		switch {
		case p.key == "template":
			e.Template.decode(d, d.child(n, p).resolved())
		case p.key == "type":
			decodeAs(d, d.child(n, p).resolved(), &e.Type)
		case slices.ContainsFunc(names, func(m member) bool { return m.name == p.key }):
			var shape ErrorShape
			decodeAs(d, d.child(n, p).resolved(), &shape)
			e.Kinds[p.key] = shape
		default:
			d.unknown(n.path, p, names, pairs)
		}
	}
}

// decode makes JSON text of any value.
func (b *Body) decode(d *decoder, n node) {
	if text, ok := d.appendJSON(nil, n, 0); ok {
		*b = Body(text)
	}
}

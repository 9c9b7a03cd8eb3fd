package config

import (
	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport/internal/yamltree"
)

const (
	maxFile  = 1 << 20 // bytes
	maxDepth = 100     // of nesting in an answer's body
)

// fileForm is what sallyport.yaml may be.
var fileForm = yamltree.Form{
	Bytes: maxFile,
	Nodes: 300_000,
	Hints: yamltree.Hints{
		Large:  "is this the right file?",
		Empty:  "it needs at least store, pepper and apis",
		Second: "one file is one configuration; remove the line ---",
	},
}

// document reads text as one YAML document and returns its root; or nil, having
// said why.
func document(f *faults, text []byte) *yaml.Node {
	root, fault := fileForm.Parse(text)
	if fault != nil {
		f.at(fault.Line, fault.Path, fault.Text, fault.Hint)
	}
	return root
}

package directory

import (
	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport/internal/yamltree"
)

const (
	maxFile  = 2 << 20 // bytes; Kubernetes keeps 1 MiB in a ConfigMap
	maxDepth = 100     // of descriptors in descriptors, and of metadata
)

// fileForm is what a file of rules may be.
var fileForm = yamltree.Form{
	Bytes: maxFile,
	Nodes: 500_000,
	Tail:  true,
	Hints: yamltree.Hints{
		Large:  "split it by domain",
		Many:   "split it by domain",
		Empty:  "write domain and descriptors, or remove the file",
		Second: "one file describes one domain; move what follows --- to a file of its own",
		Star:   "put a value that begins with * in quotes",
	},
}

// document reads text as one YAML document and returns its root; or nil, having
// said why.
func (r *reader) document(text []byte) *yaml.Node {
	root, fault := fileForm.Parse(text)
	if fault != nil {
		r.at(fault.Line, fault.Path, fault.Text, fault.Hint)
	}
	return root
}

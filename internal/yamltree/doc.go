// Package yamltree reads files of operators as YAML trees whose nodes know their
// lines, and words what is wrong with them.
//
//	root, fault := yamltree.Form{Bytes: 1 << 20, Nodes: 300_000}.Parse(text)
//
// It is the one place where text that may be hostile meets the YAML library. A
// tree that Parse returns can be walked to its end, following aliases: no alias
// stands inside what it stands for, and there are no more values than the caller
// set, each counted wherever an alias repeats it. A zero Form lets nothing in.
//
// What a tree means is for those who read it, as are its depth, its fields and
// its scalars. They differ on purpose: sallyport.yaml is YAML 1.2 with merges as
// YAML has them; the files of envoyproxy/ratelimit are YAML 1.1, where a number
// may be a key and a merge that meets a field is a fault. What they share beyond
// the tree is how a fault is told: its path, quotes, order, and the word that was
// probably meant.
//
// Costs: one pass of the library and one over the tree, a map entry for each
// list, mapping and alias. It opens no files and keeps nothing.
package yamltree

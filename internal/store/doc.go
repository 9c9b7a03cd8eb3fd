// Package store says how tenants, users, credentials, grants and the rest lie in a store,
// whichever it is: rows of plain columns, made from the vocabulary and turned
// back into it, the rules by which a row may change, and what ends with the
// change. The stores beside it (sqlite, memory) share it, so that they cannot
// disagree; storetest holds them to one contract.
//
// It is not a store: it does no I/O and knows no SQL. Callers declare small
// interfaces of their own and are handed a *sqlite.Store.
//
// What a store keeps: times to the millisecond, rounded down (an expiry never
// gets later), in UTC; windows of whole seconds; an empty list or map
// comes back as nil. What it cannot keep it refuses.
//
// Costs: a row is a few small JSON texts encoded or decoded.
package store

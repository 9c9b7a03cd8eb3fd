package ratelimit

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sallyport/sallyport/internal/wire"
	"github.com/sallyport/sallyport/ratelimit/directory"
)

// question is an envoy.service.ratelimit.v3.RateLimitRequest as far as it is
// read, which is all of it. Its strings are parts of one copy of the message.
type question struct {
	domain      string
	hits        uint32 // hits_addend; 0 where Envoy says nothing
	descriptors []descriptor
	entries     []directory.Entry // of all descriptors, one after the other
	text        string
}

// descriptor is one RateLimitDescriptor. Its entries are those of the question
// from first up to end.
type descriptor struct {
	first, end int
	hits       uint64 // where told
	told       bool   // it has hits of its own; 0 is a peek
	back       bool   // the hits are given back
	overridden bool
	override   override
}

// override is a limit that Envoy sends along.
type override struct {
	requests   uint32
	unit       int32  // envoy.type.v3.RateLimitUnit
	told       bool   // the multiplier is
	multiplier uint64 // of which 32 bits count
}

func (q *question) of(d *descriptor) []directory.Entry { return q.entries[d.first:d.end] }

// reset empties q and keeps its memory, but nothing of what stood in it.
func (q *question) reset() {
	clear(q.entries)
	*q = question{descriptors: q.descriptors[:0], entries: q.entries[:0]}
}

// decode reads msg. It refuses what proto.Unmarshal into the generated type
// refuses, and more descriptors or entries than may be.
func (q *question) decode(msg []byte) error {
	q.reset()
	q.text = string(msg)
	for c := wire.Over(msg); c.More(); {
		f, err := c.Next()
		if err != nil {
			return err
		}
		switch {
		case f.Is(1, protowire.BytesType):
			q.domain, err = c.Text(f, q.text)
		case f.Is(2, protowire.BytesType):
			err = q.decodeDescriptor(c.Into(f))
		case f.Is(3, protowire.VarintType):
			q.hits = uint32(f.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (q *question) decodeDescriptor(c wire.Cursor) error {
	if len(q.descriptors) == mostDescriptors {
		return errManyEntries
	}
	d := descriptor{first: len(q.entries)}
	for c.More() {
		f, err := c.Next()
		if err != nil {
			return err
		}
		switch {
		case f.Is(1, protowire.BytesType):
			if len(q.entries)-d.first == mostEntries {
				return errManyEntries
			}
			err = q.decodeEntry(c.Into(f))
		case f.Is(2, protowire.BytesType):
			d.overridden = true
			err = d.override.decode(c.Into(f))
		case f.Is(3, protowire.BytesType):
			d.told = true
			err = decodeWrapped(c.Into(f), &d.hits)
		case f.Is(4, protowire.VarintType):
			d.back = f.Value != 0
		}
		if err != nil {
			return err
		}
	}
	d.end = len(q.entries)
	q.descriptors = append(q.descriptors, d)
	return nil
}

func (q *question) decodeEntry(c wire.Cursor) error {
	var e directory.Entry
	for c.More() {
		f, err := c.Next()
		if err != nil {
			return err
		}
		switch {
		case f.Is(1, protowire.BytesType):
			e.Key, err = c.Text(f, q.text)
		case f.Is(2, protowire.BytesType):
			e.Value, err = c.Text(f, q.text)
		}
		if err != nil {
			return err
		}
	}
	q.entries = append(q.entries, e)
	return nil
}

// decode reads a RateLimitOverride into o, which may hold an earlier part of it.
func (o *override) decode(c wire.Cursor) error {
	for c.More() {
		f, err := c.Next()
		if err != nil {
			return err
		}
		switch {
		case f.Is(1, protowire.VarintType):
			o.requests = uint32(f.Value)
		case f.Is(2, protowire.VarintType):
			o.unit = int32(f.Value)
		case f.Is(3, protowire.BytesType):
			o.told = true
			err = decodeWrapped(c.Into(f), &o.multiplier)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// decodeWrapped reads the number of a google.protobuf.UInt64Value or
// UInt32Value; one without leaves v as it is, as merging does.
func decodeWrapped(c wire.Cursor, v *uint64) error {
	for c.More() {
		f, err := c.Next()
		if err != nil {
			return err
		}
		if f.Is(1, protowire.VarintType) {
			*v = f.Value
		}
	}
	return nil
}

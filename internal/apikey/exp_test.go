package apikey

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding"
	"hash"
	"hash/crc32"
	"sync"
	"testing"
	"unsafe"
)

const sample = "orders_live_0123456789abcdefghijABCDEFGHIJ0123456789"

var sink [32]byte
var sinkU uint32

func BenchmarkExpCRC(b *testing.B) {
	b.Run("table", func(b *testing.B) { b.ReportAllocs(); for b.Loop() { sinkU = checksum(sample[:46]) } })
	b.Run("unsafe", func(b *testing.B) { b.ReportAllocs(); s := sample[:46]; for b.Loop() { sinkU = crc32.ChecksumIEEE(unsafe.Slice(unsafe.StringData(s), len(s))) } })
	b.Run("conv", func(b *testing.B) { b.ReportAllocs(); s := sample[:46]; for b.Loop() { sinkU = crc32.ChecksumIEEE([]byte(s)) } })
}

type pair struct{ ipad, opad [64]byte }

func (p *pair) digest(secret string) [32]byte {
	var buf [96]byte
	copy(buf[:], p.ipad[:])
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(secret), len(secret)))
	copy(buf[64:], sum[:])
	in := sha256.Sum256(buf[:])
	copy(buf[:], p.opad[:])
	copy(buf[64:], in[:])
	return sha256.Sum256(buf[:])
}

type pooled struct {
	in, out []byte
	pool    sync.Pool
}
type st struct {
	h   hash.Hash
	u   encoding.BinaryUnmarshaler
	buf [64]byte
}

func newPooled(key []byte) *pooled {
	p := &pooled{}
	var k [64]byte
	copy(k[:], key)
	blk := func(x byte) []byte {
		h := sha256.New()
		var b [64]byte
		for i := range b {
			b[i] = k[i] ^ x
		}
		h.Write(b[:])
		s, _ := h.(encoding.BinaryMarshaler).MarshalBinary()
		return s
	}
	p.in, p.out = blk(0x36), blk(0x5c)
	p.pool.New = func() any { h := sha256.New(); return &st{h: h, u: h.(encoding.BinaryUnmarshaler)} }
	return p
}
func (p *pooled) digest(secret string) (d [32]byte) {
	s := p.pool.Get().(*st)
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(secret), len(secret)))
	copy(s.buf[:], sum[:])
	s.u.UnmarshalBinary(p.in)
	s.h.Write(s.buf[:32])
	r := s.h.Sum(s.buf[:0])
	s.u.UnmarshalBinary(p.out)
	s.h.Write(r)
	r = s.h.Sum(s.buf[:0])
	copy(d[:], r)
	p.pool.Put(s)
	return d
}

func BenchmarkExpDigest(b *testing.B) {
	key := make([]byte, 32)
	var p pair
	for i := range p.ipad { p.ipad[i] = 0x36; p.opad[i] = 0x5c }
	q := newPooled(key)
	b.Run("sum256", func(b *testing.B) { b.ReportAllocs(); s := sample; for b.Loop() { sink = sha256.Sum256(unsafe.Slice(unsafe.StringData(s), len(s))) } })
	b.Run("flat", func(b *testing.B) { b.ReportAllocs(); for b.Loop() { sink = p.digest(sample) } })
	b.Run("pooled", func(b *testing.B) { b.ReportAllocs(); for b.Loop() { sink = q.digest(sample) } })
	b.Run("flatpar", func(b *testing.B) { b.ReportAllocs(); b.RunParallel(func(pb *testing.PB) { for pb.Next() { _ = p.digest(sample) } }) })
	b.Run("pooledpar", func(b *testing.B) { b.ReportAllocs(); b.RunParallel(func(pb *testing.PB) { for pb.Next() { _ = q.digest(sample) } }) })
	b.Run("clone", func(b *testing.B) { b.ReportAllocs()
		h := sha256.New().(hash.Cloner)
		for b.Loop() { c, _ := h.Clone(); c.Write(sink[:]); c.Sum(sink[:0]) } })
	if p.digest(sample) != q.digest(sample) { b.Fatal("differ") }
	m := hmac.New(sha256.New, key)
	sum := sha256.Sum256([]byte(sample)); m.Write(sum[:])
	if [32]byte(m.Sum(nil)) != q.digest(sample) { b.Fatal("hmac differ") }
}

package jsonscan

import (
	"hash/maphash"
	"math/bits"
)

// kind is what a value is, as far as schemas tell values apart.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindString
	kindObject // shape that the members of an object are mixed into
	kindEmptyArray
	kindArray  // shape that the elements of an array are mixed into
	kindNumber // one for each NumberClass from here on
	kindEnd    = kindNumber + kind(Wide) + 1
)

// seed is drawn once a process: nobody outside can prepare keys that collide, and
// shapes of one process mean nothing to another.
var seed = maphash.MakeSeed()

var (
	// shapeOf are the shapes of values without members or elements, and the starting
	// points of those that have some.
	shapeOf = func() (shapes [kindEnd]uint64) {
		for k := range shapes {
			shapes[k] = maphash.Bytes(seed, []byte{'k', byte(k)})
		}
		return shapes
	}()
	// shapeSalt separates a value's shape from the key before it.
	shapeSalt = maphash.String(seed, "salt")
)

// fold multiplies to 128 bits and folds the halves: every bit of both reaches all.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// mixMember continues an object's shape with one member. It depends on the order of
// members: sorting would cost more than the few orders that writers really use.
func mixMember(shape, key, value uint64) uint64 {
	return fold(shape^key, value^shapeSalt)
}

// mixArray makes an array's shape of the sum of its distinct element shapes, which
// does not depend on their order or count.
func mixArray(sum uint64) uint64 {
	return fold(sum^shapeOf[kindArray], shapeSalt)
}

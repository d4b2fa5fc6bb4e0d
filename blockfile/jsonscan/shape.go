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
	kindEmptyArray
	kindNumber // one for each NumberClass from here on
	kindEnd    = kindNumber + kind(Wide) + 1
)

// seed is drawn once a process: nobody outside can prepare keys that collide, and
// shapes of one process mean nothing to another.
var seed = maphash.MakeSeed()

var (
	// shapeOf are the shapes of values other than objects and arrays with elements.
	shapeOf = func() (shapes [kindEnd]uint64) {
		for k := range shapes {
			shapes[k] = maphash.Bytes(seed, []byte{'k', byte(k)})
		}
		return shapes
	}()
	// Salts keep an object apart from an array whose sums are equal.
	objectSalt = maphash.String(seed, "object")
	arraySalt  = maphash.String(seed, "array")
)

// fold multiplies to 128 bits and folds the halves: every bit of both reaches all.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// mixMember is what one member adds to the sum of its object. A sum does not depend on
// the order of members: some writers keep them in hash maps and would otherwise bring
// a new shape with every record.
func mixMember(key, value uint64) uint64 { return fold(key, value) }

// mixObject makes an object's shape of its members' sum. Without it, the sums of objects
// in an array would run into one: [{a},{b}] would be like [{a,b},{}].
func mixObject(sum uint64) uint64 { return fold(sum^objectSalt, arraySalt) }

// mixArray makes an array's shape of the sum of its distinct element shapes.
func mixArray(sum uint64) uint64 { return fold(sum^arraySalt, objectSalt) }

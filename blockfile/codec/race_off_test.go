//go:build !race

package codec

// raceEnabled: the race detector is slow, and makes sync.Pool forget at random.
const raceEnabled = false

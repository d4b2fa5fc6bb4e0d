package storetest

import (
	"testing"

	"github.com/firndb/firn/blockfile/store"
)

// Run tests a store against the contract of store.Store. newStore is called
// once for each test and gives an empty store; the suite closes it.
func Run(t *testing.T, newStore func(t *testing.T) store.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"PutAndGet", testPutAndGet},
		{"PutIfAbsentKeepsTheFirst", testPutIfAbsentKeepsTheFirst},
		{"OneWinnerOfManyPuts", testOneWinnerOfManyPuts},
		{"OneWinnerOfManyCommits", testOneWinnerOfManyCommits},
		{"UploadInvisibleBeforeCommit", testUploadInvisibleBeforeCommit},
		{"UploadOfManyWrites", testUploadOfManyWrites},
		{"UploadOfNothing", testUploadOfNothing},
		{"UploadAborted", testUploadAborted},
		{"UploadFinishedIsFinished", testUploadFinishedIsFinished},
		{"UploadToTakenKey", testUploadToTakenKey},
		{"UploadEndsWithItsContext", testUploadEndsWithItsContext},
		{"CallersBuffersAreTheirs", testCallersBuffersAreTheirs},
		{"GetBound", testGetBound},
		{"ReadRange", testReadRange},
		{"ReadRangeShort", testReadRangeShort},
		{"ReadRangesAtOnce", testReadRangesAtOnce},
		{"Missing", testMissing},
		{"Delete", testDelete},
		{"DeleteThenPut", testDeleteThenPut},
		{"ListOrder", testListOrder},
		{"ListPrefixAndAfter", testListPrefixAndAfter},
		{"ListEndsOnError", testListEndsOnError},
		{"ListMany", testListMany},
		{"KeysThatAreRefused", testKeysThatAreRefused},
		{"KeysThatAreAllowed", testKeysThatAreAllowed},
		{"CancelledContext", testCancelledContext},
		{"Close", testClose},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := newStore(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			tc.run(t, s)
		})
	}
}

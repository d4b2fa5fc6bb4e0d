package catalog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/firndb/firn/blockfile"
)

// randomRefs makes blocks of a file in the order of datasets and days.
func randomRefs(rng *rand.Rand, datasets []string, days []int32, most int) []blockfile.Ref {
	var out []blockfile.Ref
	offset := int64(rng.IntN(1000))
	for _, dataset := range datasets {
		for _, day := range days {
			ms := rng.Int64N(1000)
			for range rng.IntN(most + 1) {
				n := 1 + rng.Uint32N(1000)
				span := rng.Int64N(100_000)
				first := blockfile.DayStart(day) + min(ms, msPerDay-1-span)
				out = append(out, blockfile.Ref{Dataset: dataset, Day: day, Offset: offset, Length: 1 + rng.Uint32N(1<<20), RawLength: n + rng.Uint32N(1<<20),
					Records: n, First: first, Last: first + span, CRC: rng.Uint32()})
				offset += int64(out[len(out)-1].Length) + rng.Int64N(3)*rng.Int64N(1<<30)
				ms += rng.Int64N(200_000) // sometimes before the last time of the block before
			}
		}
	}
	return out
}

func TestPackedReferencesComeBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	edge := []blockfile.Ref{
		{Dataset: "d", Day: -1, Offset: 0, Length: 1, RawLength: 1, Records: 1, First: -msPerDay, Last: -1, CRC: 0xffffffff},
		{Dataset: "d", Day: -1, Offset: blockfile.MaxFileBytes, Length: blockfile.MaxBlockBytes, RawLength: blockfile.MaxRawBytes,
			Records: blockfile.MaxRawBytes, First: -1, Last: -1},
		{Dataset: "d", Day: -1, Offset: 0, Length: 1, RawLength: 1, Records: 1, First: -msPerDay, Last: -msPerDay},
	}
	cases := [][]blockfile.Ref{edge}
	for range 300 {
		if refs := randomRefs(rng, []string{"d"}, []int32{rng.Int32N(blockfile.MaxDay)}, 30); len(refs) > 0 {
			cases = append(cases, refs)
		}
	}
	for _, refs := range cases {
		first := slices.MinFunc(refs, func(a, b blockfile.Ref) int { return cmp.Compare(a.First, b.First) }).First
		b := packRefs(nil, refs, first)
		if len(b) < minRef*len(refs) || len(b) > 10+maxRef*len(refs) {
			t.Fatalf("%d references take %d bytes", len(refs), len(b))
		}
		got, err := unpackRefs(nil, b, "d", refs[0].Day, first)
		if err != nil || !slices.Equal(got, refs) {
			t.Fatalf("%v\n%+v\n%+v", err, got, refs)
		}
	}
}

// Bytes that are no packed references must give an error, or references that
// are possible ones: never a panic, never much memory.
func FuzzUnpackRefs(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 5 {
		refs := randomRefs(rng, []string{"d"}, []int32{day0}, 4)
		if len(refs) > 0 {
			f.Add(packRefs(nil, refs, refs[0].First), int32(day0), refs[0].First)
		}
	}
	f.Add([]byte{0}, int32(0), int64(0))
	f.Add(bytes.Repeat([]byte{0xff}, 64), int32(-1), int64(1)<<62)
	f.Fuzz(func(t *testing.T, b []byte, day int32, first int64) {
		refs, err := unpackRefs(nil, b, "d", day, first)
		if err != nil {
			return
		}
		for _, r := range refs {
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
		}
		back, err := unpackRefs(nil, packRefs(nil, refs, first), "d", day, first)
		if err != nil || !slices.Equal(back, refs) {
			t.Fatalf("%v: %+v is packed as %+v", err, refs, back)
		}
	})
}

func FuzzWalkList(f *testing.F) {
	var w listWriter
	w.add("u1", day0, blockfile.DayStart(day0)+5, 0)
	w.add("u10", day0-1, blockfile.DayStart(day0-1), 3)
	f.Add(w.take())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := walkList(b, 7, func(key []byte) error {
			n++
			name, parts, err := splitRefKey(key)
			if err == nil {
				_, err = cutDataset(name)
			}
			if err != nil || parts.file != 7 {
				t.Fatalf("key %x: %v", key, err)
			}
			return nil
		})
		if err == nil && n > len(b) {
			t.Fatalf("%d keys out of %d bytes", n, len(b))
		}
	})
}

// oracleRef is a reference with the file it is in, as the oracle keeps it.
type oracleRef struct {
	file FileID
	ref  blockfile.Ref
}

// stageLive adds a live file with refs and commits it in a job of its own.
func stageLive(t testing.TB, c *Catalog, n int, table string, refs []blockfile.Ref) (id FileID) {
	t.Helper()
	update(t, c, func(tx *Tx) error {
		job, err := tx.BeginJob(KindArchive, nil, 1)
		if err != nil {
			return err
		}
		if id, err = tx.StageFile(fileRow(job, n, table, refs)); err != nil {
			return err
		}
		for len(refs) > 0 { // in several calls, cutting groups apart
			k := min(len(refs), 700)
			if err := tx.StageRefs(id, refs[:k]); err != nil {
				return err
			}
			refs = refs[k:]
		}
		return tx.Commit(Commit{Run: job.Run, Position: tx.Identity().LogNext})
	})
	return id
}

var uglyNames = []string{"", "a", "a\x00", "a\x00\x01", "a\x01", "ab", "b", "\x00", "\xff", "\xff\xff", "zürich", "u1", "u10", "u2"}

func TestLookupsAgainstOracle(t *testing.T) {
	c := newCatalog(t)
	rng := rand.New(rand.NewPCG(7, 8))
	days := []int32{blockfile.MinDay, -2, -1, 0, 1, day0, day0 + 1, blockfile.MaxDay}
	oracle := map[[2]string][]oracleRef{}
	for n := range 12 {
		table := []string{"t", "t\x00", "u"}[rng.IntN(3)]
		refs := randomRefs(rng, uglyNames, days, 3)
		id := stageLive(t, c, n, table, refs)
		for _, r := range refs {
			k := [2]string{table, r.Dataset}
			oracle[k] = append(oracle[k], oracleRef{id, r})
		}
	}
	s := view(t, c)
	defer s.Close()
	for _, table := range []string{"t", "t\x00", "u", "none"} {
		for _, dataset := range append(uglyNames, "none") {
			for range 20 {
				q := RefQuery{Table: table, Dataset: dataset, FromDay: days[rng.IntN(len(days))], ToDay: days[rng.IntN(len(days))] + rng.Int32N(2), Desc: rng.IntN(2) == 1}
				var want []blockfile.Ref
				for _, r := range oracle[[2]string{table, dataset}] {
					if r.ref.Day >= q.FromDay && r.ref.Day <= q.ToDay {
						want = append(want, r.ref)
					}
				}
				// A paged walk gives the same as one go, groups in the key's order.
				var got []blockfile.Ref
				var groups []RefGroup
				stop := errors.New("stop")
				for page := 1 + rng.IntN(5); ; {
					left := page
					err := s.QueryRefs(q, func(g RefGroup) error {
						if left--; left < 0 {
							return stop
						}
						groups = append(groups, g)
						q.After = g.RowKey()
						return nil
					})
					if err == nil {
						break
					}
					if err != stop {
						t.Fatal(err)
					}
				}
				keys := map[string]bool{}
				for i, g := range groups {
					if g.Table != table || g.Dataset != dataset || keys[g.Key()] {
						t.Fatalf("group %+v", g)
					}
					keys[g.Key()] = true
					if i > 0 {
						order := cmp.Or(cmp.Compare(groups[i-1].Day, g.Day), cmp.Compare(groups[i-1].First, g.First), cmp.Compare(groups[i-1].File, g.File),
							cmp.Compare(groups[i-1].Part, g.Part))
						if q.Desc && order <= 0 || !q.Desc && order >= 0 {
							t.Fatalf("groups out of order: %+v, %+v", groups[i-1], g)
						}
					}
					var err error
					if got, err = g.Decode(got); err != nil {
						t.Fatal(err)
					}
				}
				sortRefs(got)
				sortRefs(want)
				if !slices.Equal(got, want) {
					t.Fatalf("%+v gives %d references, want %d", q, len(got), len(want))
				}
			}
		}
	}
	checkDatasets(t, s, oracle)
}

func sortRefs(refs []blockfile.Ref) {
	slices.SortFunc(refs, func(a, b blockfile.Ref) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.CRC, b.CRC))
	})
}

func checkDatasets(t *testing.T, s *Snapshot, oracle map[[2]string][]oracleRef) {
	t.Helper()
	for _, table := range []string{"t", "t\x00", "u", "none"} {
		for _, after := range append([]string{"aa", "a\x00\x00"}, uglyNames...) {
			var want, got []string
			for k, refs := range oracle {
				if k[0] != table || k[1] <= after && after != "" || len(refs) == 0 {
					continue
				}
				var records uint64
				var stored int64
				first, last := refs[0].ref.First, refs[0].ref.Last
				for _, r := range refs {
					records += uint64(r.ref.Records)
					stored += int64(r.ref.Length)
					first, last = min(first, r.ref.First), max(last, r.ref.Last)
				}
				want = append(want, fmt.Sprintf("%q %d %d %d %d", k[1], records, stored, first, last))
			}
			slices.Sort(want)
			names := []string{}
			if err := s.Datasets(table, after, func(dataset string, records uint64, stored int64, first, last int64) error {
				names = append(names, dataset)
				got = append(got, fmt.Sprintf("%q %d %d %d %d", dataset, records, stored, first, last))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if !slices.IsSorted(names) {
				t.Fatalf("datasets out of order: %q", names)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("datasets of %q after %q:\n%q\nwant\n%q", table, after, got, want)
			}
		}
	}
}

// Blocks that begin at the same time in the same file, more than one value
// holds, must stay apart and in order.
func TestManyBlocksOfOneMillisecond(t *testing.T) {
	c := newCatalog(t)
	var refs []blockfile.Ref
	for i := range 5000 {
		r := block("u", day0, 77, 1, int64(i)*50)
		r.Last = r.First
		refs = append(refs, r)
	}
	id := stageLive(t, c, 1, "t", refs)
	s := view(t, c)
	defer s.Close()
	parts := 0
	var got []blockfile.Ref
	if err := s.Refs("t", "u", day0, day0, func(g RefGroup) (err error) {
		if g.File != id || int(g.Part) != parts || len(g.packed) > maxGroup {
			t.Errorf("group %d is part %d of file %d with %d bytes", parts, g.Part, g.File, len(g.packed))
		}
		parts++
		got, err = g.Decode(got)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, refs) || parts < 4 {
		t.Fatalf("%d references in %d parts", len(got), parts)
	}
}

// What a walk handed out stays what it was, whatever happens to the snapshot.
func TestGroupsOutliveTheSnapshot(t *testing.T) {
	c := newCatalog(t)
	refs := randomRefs(rand.New(rand.NewPCG(1, 1)), []string{"u"}, []int32{1, 2, 3, 4, 5, 6, 7, 8}, 40)
	id := stageLive(t, c, 1, "t", refs)
	s := view(t, c)
	var groups []RefGroup
	if err := s.Refs("t", "u", 1, 8, func(g RefGroup) error { groups = append(groups, g); return nil }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	update(t, c, func(tx *Tx) error {
		job, err := tx.BeginJob(KindArchive, nil, 1)
		if err != nil {
			return err
		}
		return tx.Commit(Commit{Run: job.Run, Position: tx.Identity().LogNext, Dead: []FileID{id}})
	})
	update(t, c, func(tx *Tx) error { _, err := tx.DropDead(id, 1<<30); return err })
	stageLive(t, c, 2, "t", randomRefs(rand.New(rand.NewPCG(2, 2)), []string{"u", "v"}, []int32{1, 2, 3}, 400))
	var got []blockfile.Ref
	for _, g := range groups {
		var err error
		if got, err = g.Decode(got); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, refs) {
		t.Fatal("the groups changed")
	}
}

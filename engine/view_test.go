package engine

import (
	"context"
	"fmt"
	"testing"
)

// between is a database in which things happen while a read takes its view.
type between struct {
	t      *testing.T
	db     *DB
	serial int
}

var betweenQuery = Query{Table: "a", Dataset: "u"}

func (b *between) add() {
	for range 5 {
		b.serial++
		ingest(b.t, b.db, betweenQuery.Table, betweenQuery.Dataset, fmt.Sprintf(`{"timestamp":%d,"serial":%d}`, b.serial/3, b.serial))
	}
}

func (b *between) freeze() { b.db.freeze() }

func (b *between) apply() {
	b.db.freeze()
	if err := b.db.applyFrozen(); err != nil {
		b.t.Error(err)
	}
}

func (b *between) seal() {
	if err := b.db.sealAll(); err != nil {
		b.t.Error(err)
	}
}

func (b *between) cold() { archive(b.t, b.db) }

// TestViewBetween lets things happen between the two looks of a view, at the lists under the lock and
// at the catalog: whatever it is, the read gives what was acknowledged before it, once and in order.
func TestViewBetween(t *testing.T) {
	type steps []func(*between)
	add, freeze, apply, seal, cold := (*between).add, (*between).freeze, (*between).apply, (*between).seal, (*between).cold
	before := map[string]steps{
		"memory":                          {add},
		"a generation":                    {add, apply},
		"a generation, memory":            {add, apply, add},
		"two generations, memory":         {add, seal, add, apply, add},
		"cold, a generation, memory":      {add, cold, add, apply, add},
		"a sealed generation, two tables": {add, seal, add, freeze, add},
	}
	meanwhile := map[string]steps{
		"nothing":                {},
		"apply":                  {apply},
		"seal":                   {seal},
		"archive":                {cold},
		"apply, more":            {apply, add},
		"seal, more in the next": {seal, add, apply},
		"seal, more, archive":    {seal, add, cold},
		"two archives":           {cold, add, cold, add},
	}
	for where, first := range before {
		for what, then := range meanwhile {
			t.Run(where+": "+what, func(t *testing.T) {
				t.Parallel()
				viewBetween(t, first, then)
			})
		}
	}
}

func viewBetween(t *testing.T, first, then []func(*between)) {
	b := &between{t: t, db: openTest(t, t.TempDir(), func(o *Options) { o.Cache = CacheOptions{-1, -1, -1} })}
	defer b.db.Close()
	for _, f := range first {
		f(b)
	}
	least, once := b.serial, false
	b.db.opts.step = func(name string) {
		if name == "read 1" && !once {
			once = true
			for _, f := range then {
				f(b)
			}
		}
	}
	got := 0
	for r, err := range b.db.Read(context.Background(), betweenQuery) {
		if err != nil {
			t.Fatal(err)
		}
		var at, n int
		if _, err := fmt.Sscanf(string(r.JSON), `{"timestamp":%d,"serial":%d}`, &at, &n); err != nil || n != got+1 {
			t.Errorf("record %d is %s", got+1, r.JSON)
		}
		got++
	}
	if got < least || got > b.serial || !once {
		t.Errorf("%d records, %d to %d were expected", got, least, b.serial)
	}
	checkNoOrphans(t, b.db, "when the read has ended")
}

package catalog

import (
	"fmt"
	"maps"
	"slices"

	"github.com/firndb/firn/engine/hot"
)

// BeginJob opens a job with a run id of its own. The generations it will retire
// must be sealed and no other open job's.
func (t *Tx) BeginJob(kind string, generations []hot.ID, startedAt int64) (Job, error) {
	job := Job{Kind: kind, Generations: slices.Clone(generations), StartedAt: startedAt}
	run, err := t.NewID()
	if err != nil {
		return Job{}, err
	}
	job.Run = run
	err = t.step(func() error {
		jobs, err := t.Jobs()
		if err != nil {
			return err
		}
		for i, id := range generations {
			g, ok, err := t.generation(id)
			if err != nil {
				return err
			}
			if !ok || g.State != GenerationSealed {
				return stateErrorf("generation %v is not sealed", id)
			}
			if slices.Contains(generations[:i], id) || slices.ContainsFunc(jobs, func(j Job) bool { return slices.Contains(j.Generations, id) }) {
				return stateErrorf("generation %v is in a job already", id)
			}
		}
		body, err := job.append(nil)
		if err != nil {
			return err
		}
		return t.put(bktJobs, key64(uint64(job.Run)), body)
	})
	return job, err
}

// Commit says how a job changes what reads see. See Tx.Commit.
type Commit struct {
	Run         hot.ID
	Position    uint64   // of the job's log entry; must be Identity.LogNext
	ArchivedSeq uint64   // highest sequence number the job made cold; 0 when none
	Dead        []FileID // files the job replaced or dropped; live until now

	// Counters are the new totals of tables. Cold must be what the files make
	// it; it is computed for tables that have no counters here.
	Counters map[string]Counters
}

// Commit makes the files a job staged live and its inputs dead, moves its
// generations to the retired ones, sets counters, archived sequence number and
// log position, and closes the job: in one small transaction, so that a reader
// sees all of it or nothing. It refuses what does not add up: a file whose
// references are not all there, an input that is not live, totals that fall.
func (t *Tx) Commit(c Commit) error {
	return t.step(func() error {
		job, ok, err := t.job(c.Run)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%w: run %v", ErrNoJob, c.Run)
		}
		if c.Position != t.state.identity.LogNext {
			return stateErrorf("run %v commits at log position %d, the next one is %d", c.Run, c.Position, t.state.identity.LogNext)
		}
		cold := map[string]int64{} // change of each table's cold records
		if err := t.commitStaged(c, cold); err != nil {
			return err
		}
		if err := t.commitDead(c, cold); err != nil {
			return err
		}
		for _, id := range job.Generations {
			g, ok, err := t.generation(id)
			if err != nil {
				return err
			}
			if !ok || g.State != GenerationSealed {
				return stateErrorf("generation %v cannot be retired: it is not sealed", id)
			}
			if err := t.remove(bktGenerations, key64(uint64(id))); err != nil {
				return err
			}
			if err := t.put(bktRetired, key64(uint64(id)), nil); err != nil {
				return err
			}
		}
		if err := t.commitCounters(c, cold); err != nil {
			return err
		}
		t.state.identity.ArchivedSeq = max(t.state.identity.ArchivedSeq, c.ArchivedSeq)
		t.state.identity.LogNext = c.Position + 1
		return t.remove(bktJobs, key64(uint64(c.Run)))
	})
}

func (t *Tx) commitStaged(c Commit, cold map[string]int64) error {
	var staged []FileRow
	if err := t.FilesOfRun(c.Run, func(f FileRow) error { staged = append(staged, f); return nil }); err != nil {
		return err
	}
	for i := range staged {
		f := &staged[i]
		if f.State != FileStaged {
			return stateErrorf("file %s of run %v is %v", f.Key, c.Run, f.State)
		}
		if f.RefBlocks != f.Blocks || f.RefRecords != f.Records {
			return stateErrorf("file %s has %d blocks with %d records, its references %d with %d", f.Key, f.Blocks, f.Records, f.RefBlocks, f.RefRecords)
		}
		f.State, f.LiveFrom = FileLive, c.Position
		cold[f.Table] += int64(f.Records)
		if err := t.putFile(f); err != nil {
			return err
		}
		if err := t.remove(bktStaged, key64x2(uint64(c.Run), uint64(f.ID))); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) commitDead(c Commit, cold map[string]int64) error {
	for _, id := range c.Dead {
		f, ok, err := t.File(id)
		if err != nil {
			return err
		}
		if !ok || f.State != FileLive || f.LiveFrom >= c.Position {
			return stateErrorf("file %d cannot be removed by run %v: it was not live before", id, c.Run)
		}
		f.State, f.DeadFrom = FileDead, c.Position
		cold[f.Table] -= int64(f.Records)
		if err := t.putFile(&f); err != nil {
			return err
		}
		if err := t.put(bktDead, key64x2(f.DeadFrom, uint64(id)), nil); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) commitCounters(c Commit, cold map[string]int64) error {
	for table := range c.Counters {
		cold[table] += 0
	}
	for _, table := range slices.Sorted(maps.Keys(cold)) {
		row, err := t.tableOrNew(table)
		if err != nil {
			return err
		}
		was := row.Counters
		now, given := c.Counters[table]
		if !given {
			now = was
			now.Cold += uint64(cold[table])
		}
		if want := was.Cold + uint64(cold[table]); now.Cold != want {
			return stateErrorf("table %q would count %d cold records, its files hold %d", table, now.Cold, want)
		}
		if now.Accepted < was.Accepted || now.Erased < was.Erased || now.Expired < was.Expired || now.Lost < was.Lost {
			return stateErrorf("counters of table %q would fall from %+v to %+v", table, was, now)
		}
		row.Counters = now
		if err := t.putTable(row); err != nil {
			return err
		}
	}
	return nil
}

// CloseJob closes a job that was given up. Its staged rows must be dropped
// before. logNext is the log position after the entry that ended the job, or
// Identity.LogNext when none was put.
func (t *Tx) CloseJob(run hot.ID, logNext uint64) error {
	err := t.step(func() error {
		if _, ok, err := t.job(run); err != nil {
			return err
		} else if !ok {
			return fmt.Errorf("%w: run %v", ErrNoJob, run)
		}
		if id, left, err := t.firstOf(bktStaged, key64(uint64(run))); err != nil {
			return err
		} else if left {
			return stateErrorf("run %v still has file %d staged", run, id)
		}
		return t.remove(bktJobs, key64(uint64(run)))
	})
	if err != nil || logNext == t.state.identity.LogNext {
		return err
	}
	return t.SetLogNext(logNext)
}

package engine

import (
	"context"

	"github.com/firndb/firn/blockfile"
)

// Explain plans a read without carrying it out: what lies hot, which blocks and ranges it would
// fetch, and what is cached. It asks the store for nothing.
func (db *DB) Explain(ctx context.Context, q Query) (Plan, error) {
	r, err := db.query(ctx, q, true)
	if err != nil {
		return Plan{}, err
	}
	defer r.Close()
	return r.plan, nil
}

// planner sums up the cold part of a plan.
type planner struct {
	r     *Rows
	files map[*coldFile]bool
	wants []blockfile.Want
}

func (r *Rows) newPlanner() *planner {
	return &planner{r: r, files: make(map[*coldFile]bool)}
}

// add takes the references of one file and day.
func (p *planner) add(f *coldFile, refs []blockfile.Ref) {
	c := &p.r.plan.Cold
	if !p.files[f] {
		p.files[f] = true
		c.Files++
		c.WholeFileBytes += f.row.Size
	}
	for _, ref := range refs {
		cached := p.r.db.cache.has(blockKey(f.row.ID, ref.Offset))
		c.Blocks++
		c.Records += uint64(ref.Records)
		c.BlockBytes += int64(ref.Length)
		if cached {
			c.CachedBlocks++
		} else {
			p.wants = append(p.wants, blockfile.Want{Key: f.row.Key, Ref: ref})
		}
		if p.r.listed {
			p.r.plan.Blocks = append(p.r.plan.Blocks, PlanBlock{
				File: f.row.Key, Offset: ref.Offset, Length: int64(ref.Length), Records: ref.Records,
				First: ref.First, Last: ref.Last, Cached: cached,
			})
		}
	}
	if len(p.wants) >= pageBlocks {
		p.finish()
	}
}

// finish coalesces what was added into ranges.
func (p *planner) finish() {
	c := &p.r.plan.Cold
	for _, rng := range blockfile.Plan(p.wants, blockfile.PlanOptions{}) {
		c.StoreRequests++
		c.StoreBytes += rng.Length
		if p.r.listed {
			p.r.plan.Ranges = append(p.r.plan.Ranges, PlanRange{
				File: rng.Key, Offset: rng.Offset, Length: rng.Length, Blocks: len(rng.Blocks),
			})
		}
	}
	p.wants = p.wants[:0]
}

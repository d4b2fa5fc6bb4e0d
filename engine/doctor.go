package engine

import (
	"context"
	"errors"
)

// LossReport says what AcceptLoss wrote off.
type LossReport struct {
	Ranges []LostRange       // what was damaged, each with what was in it
	Lost   map[string]uint64 // records, by table
}

// AcceptLoss lets a database whose log is damaged write again. It names what is lost, keeps that in
// the ledger, and sets the damaged ranges aside. Without damage it changes nothing. The database
// must not be open.
func AcceptLoss(ctx context.Context, dir string, o Options) (report LossReport, err error) {
	o.Manual = true
	db, err := Open(ctx, dir, o)
	if err != nil {
		return LossReport{}, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	report.Lost = make(map[string]uint64)
	if !db.damaged() {
		return report, nil
	}
	report.Ranges = db.lostRanges()
	for _, r := range report.Ranges {
		for table, n := range r.Records {
			report.Lost[table] += n
		}
	}
	// On record first: a crash in between finds the damage again and writes the same.
	db.losses = append(db.losses, report.Ranges...)
	if err := db.losses.write(dir); err != nil {
		return report, err
	}
	if len(db.recovery.Damage) > 0 {
		return report, db.log.AcceptDamage()
	}
	return report, nil
}

// damaged says that the log lacks something whose loss is not accepted. Records from the log then stay
// in memory: a generation that had reached past the gap would hide it.
func (db *DB) damaged() bool {
	return db.recovery != nil && (len(db.recovery.Damage) > 0 || len(db.gaps) > 0)
}

// lostRanges joins what the log found damaged with the sequence numbers missing around it.
func (db *DB) lostRanges() []LostRange {
	var list []LostRange
	gaps := db.gaps
	for i, d := range db.recovery.Damage {
		r := LostRange{
			File: d.File, Offset: d.Offset, Bytes: d.Bytes, Position: uint64(d.From), Reason: d.Reason,
			Records: make(map[string]uint64), FirstSeq: 1, LastSeq: 0,
		}
		// The gap shows at the first frame behind the damage; that frame lies before the next damage.
		last := i == len(db.recovery.Damage)-1
		for len(gaps) > 0 && (last || gaps[0].position < uint64(db.recovery.Damage[i+1].From)) {
			g := gaps[0]
			gaps = gaps[1:]
			if g.position < uint64(d.From) {
				list = append(list, g.lostRange())
				continue
			}
			if r.LastSeq == 0 {
				r.FirstSeq = g.first
			}
			r.LastSeq = g.last
			for table, n := range g.records {
				r.Records[table] += n
			}
		}
		list = append(list, r)
	}
	for _, g := range gaps {
		list = append(list, g.lostRange())
	}
	return list
}

func (g gap) lostRange() LostRange {
	return LostRange{
		File: walFolder, Offset: -1, Position: g.position, Reason: "frames are missing",
		FirstSeq: g.first, LastSeq: g.last, Records: g.records,
	}
}

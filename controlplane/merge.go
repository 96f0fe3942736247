package controlplane

import (
	"errors"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// Merge takes what a peer says. What makes the catalog fail is found, set aside
// and left out from then on; the catalog begins anew, since it may be half
// changed, and peers fill it again within a second.
func (l *live) Merge(now time.Time, from string, d *catalog.Delta) catalog.Result {
	if !l.poison.none() {
		d = l.sieve(d)
	}
	result, err := l.merge(now, d)
	if err != nil {
		l.logger.Error("delta not taken", "from", from, "err", err)
		l.renew()
		for _, one := range pieces(d) {
			if _, err := l.merge(now, one); err != nil {
				l.poison.add(hashOf(pieceBytes(one)))
				l.renew()
			}
		}
		return result
	}
	l.act(from, result)
	return result
}

func (l *live) merge(now time.Time, d *catalog.Delta) (result catalog.Result, err error) {
	err = l.poison.guard("delta", d.Encode, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		result = l.catalog.Merge(now, d)
		l.merged += uint64(result.Taken)
		l.refused += uint64(result.Refused)
		l.settle(now, false)
		return nil
	})
	return result, err
}

// act does what a merge asks for.
func (l *live) act(from string, result catalog.Result) {
	if result.Rival != 0 {
		l.outdo(result.Rival)
	}
	for _, r := range result.Refusals {
		if errors.Is(r.Err, catalog.ErrNoKey) {
			l.unknown(from, r.Owner)
			continue
		}
		l.report(from, r)
	}
	for _, host := range result.Conflicts {
		l.report(from, catalog.Refusal{Owner: host, Err: errors.New("it signed two things with one stamp")})
	}
}

// pieces are the records and overrides of a delta, each as a delta of its own.
func pieces(d *catalog.Delta) []*catalog.Delta {
	var all []*catalog.Delta
	for _, p := range d.Parts {
		for _, r := range p.Records {
			part := catalog.Part{Owner: p.Owner, Epoch: p.Epoch, From: r.Seq - 1, Upto: p.Upto, Records: []*catalog.Record{r}}
			all = append(all, &catalog.Delta{Parts: []catalog.Part{part}})
		}
	}
	for _, o := range d.Overrides {
		all = append(all, &catalog.Delta{Overrides: []catalog.Carried{o}})
	}
	return all
}

// pieceBytes are those of the one record or override, as it was signed.
func pieceBytes(d *catalog.Delta) []byte {
	if len(d.Parts) > 0 {
		return d.Parts[0].Records[0].Bytes()
	}
	return d.Overrides[0].Override.Bytes()
}

// sieve leaves out what made the catalog fail before.
func (l *live) sieve(d *catalog.Delta) *catalog.Delta {
	bad := false
	for _, one := range pieces(d) {
		bad = bad || l.poison.has(hashOf(pieceBytes(one)))
	}
	if !bad {
		return d
	}
	out := &catalog.Delta{}
	for _, one := range pieces(d) {
		if !l.poison.has(hashOf(pieceBytes(one))) {
			out.Parts = append(out.Parts, one.Parts...)
			out.Overrides = append(out.Overrides, one.Overrides...)
		}
	}
	return out
}

// reportEvery is how often a refusal of the same kind is worth a line.
const reportEvery = time.Minute

func (l *live) report(from string, r catalog.Refusal) {
	now := l.clock.Now()
	key := r.Owner + " " + r.Err.Error()
	l.mu.Lock()
	last, known := l.told[key]
	again := !known || now.Sub(last).Abs() >= reportEvery
	if len(l.told) > 1000 {
		clear(l.told)
	}
	if again {
		l.told[key] = now
	}
	l.mu.Unlock()
	if again {
		l.logger.Warn("refused what a peer told", "from", from, "owner", r.Owner, "stamp", r.Stamp.String(), "err", r.Err)
	}
}

// outdo begins an epoch after one in which this host spoke before, and of which
// it knows nothing any more.
func (l *live) outdo(rival uint64) {
	err := l.do(true, func(c *catalog.Catalog, now time.Time) error {
		if rival < l.epoch || l.epoch == 0 {
			return nil
		}
		l.logger.Warn("peers know a later epoch of this host", "theirs", rival, "ours", l.epoch)
		return l.begin(rival, func(epoch uint64) error { return c.Restart(now, epoch, l.sign) })
	})
	if err != nil {
		l.logger.Error("no new epoch", "err", err)
	}
}

package catalog

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// maimed is what a relay that wants harm makes of a delta: records left out,
// claims that are not true. It cannot change what is signed.
func maimed(rt *rapid.T, d *Delta) *Delta {
	out := &Delta{}
	for _, p := range d.Parts {
		q := Part{Owner: p.Owner, Epoch: p.Epoch, From: rapid.SampledFrom([]uint64{0, p.From, p.From + 1, 1 << 60}).Draw(rt, "from")}
		for _, rec := range p.Records {
			if rapid.IntRange(0, 3).Draw(rt, "kept") > 0 {
				q.Records = append(q.Records, rec)
			}
		}
		out.Parts = append(out.Parts, q)
	}
	return out
}

// Whatever liars relay, whoever sleeps over a tombstone's life, whatever is
// lost: after the last exchanges among honest agents all have the owners' truth.
func TestLiarsAndSleepersDoNotLast(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFleet(t, 4)
		services := []string{"a", "b", "c", "d"}
		for range rapid.IntRange(1, 150).Draw(rt, "steps") {
			host := rapid.SampledFrom(f.names).Draw(rt, "host")
			peer := rapid.SampledFrom(f.names).Draw(rt, "peer")
			c := f.at[host]
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				f.now = f.now.Add(time.Duration(rapid.IntRange(1, 30).Draw(rt, "hours")) * time.Hour)
				c.Tick(f.now)
			case 1:
				s, _ := c.Status(host)
				f.must(c.Start(f.now, s.Epoch+1, []Update{HostUpdate(plainHost), ServiceUpdate("a", one(Starting))}, f.keys.signer(host)))
			case 2, 3:
				f.publish(host, Gone(rapid.SampledFrom(services).Draw(rt, "service")))
			case 4, 5, 6:
				f.publish(host, ServiceUpdate(rapid.SampledFrom(services).Draw(rt, "service"), one(Health(rapid.IntRange(1, 3).Draw(rt, "health")))))
			case 7:
				f.tell(host, f.at[peer].Delta(f.now, c.Digest(f.now), rapid.IntRange(300, 3000).Draw(rt, "budget")))
			case 8:
				f.tell(host, maimed(rt, f.at[peer].Delta(f.now, c.Digest(f.now), MaxDelta)))
			case 9:
				f.tell(host, maimed(rt, f.at[peer].Delta(f.now, &Digest{}, MaxDelta)))
			}
		}
		for range 3 {
			f.pullAll()
		}
		for _, name := range f.names {
			for _, other := range f.names {
				want, got := f.at[other].owners[other], f.at[name].owners[other]
				if got.epoch != want.epoch || got.sum != want.sum || !got.complete || len(got.leftovers) > 0 || got.progress != want.progress {
					rt.Fatalf("%s knows of %s %+v disputed %t, that says %+v\n%s", name, other, got.known(), got.disputed, want.known(), state(f.at[name]))
				}
			}
		}
		f.same()
	})
}

package sync

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// TestProtocols: hosts that have no protocol in common hear of each other
// through those that speak both, and at once.
func TestProtocols(t *testing.T) {
	inBubble(t, 6, func(t *testing.T, f *fleet) {
		ranges := []catalog.Protocols{{Min: 1, Max: 1}, {Min: 1, Max: 2}, {Min: 2, Max: 2}}
		of := func(i int) catalog.Protocols { return ranges[(i-1)%3] }
		for i := 1; i <= 6; i++ {
			f.add(hostName(i), func(o *Options) { o.Protocols = of(i) })
		}
		f.eventually(10*time.Second, f.same)
		for i := 1; i <= 6; i++ {
			for j, p := range f.nodes[hostName(i)].Peers() {
				if j+1 >= i {
					j++
				}
				want, ok := of(i).Common(of(j + 1))
				if p.Theirs != of(j+1) || p.Protocol != want || p.Connected != ok {
					t.Errorf("h%03d sees %+v", i, p)
				}
				if !ok && p.Failure == "" {
					t.Errorf("h%03d does not say why it has no connection to %s", i, p.Host)
				}
			}
		}
		f.nodes["h001"].say("web", 1)
		took := f.eventually(time.Second, f.heard("h001", "web", 1))
		t.Logf("a change reached hosts of other protocols after %v", took)
		if took > 20*time.Millisecond {
			t.Error("not pushed through others")
		}
		if _, err := f.nodes["h001"].Call(t.Context(), "h003", "echo", nil); err == nil {
			t.Error("called a host without a common protocol")
		}
	})
}

// TestUpgrade: a fleet that moves from one protocol to the next, host by host,
// by way of a version that speaks both, is never apart.
func TestUpgrade(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, f *fleet) {
		speak := func(low, high uint64) func(*Options) {
			return func(o *Options) { o.Protocols = catalog.Protocols{Min: low, Max: high} }
		}
		f.addAll(speak(1, 1))
		for _, step := range []func(*Options){speak(1, 2), speak(2, 2)} {
			for _, name := range f.names() {
				f.stop(name)
				f.add(name, step)
				f.eventually(10*time.Second, f.same)
				f.eventually(10*time.Second, f.apart)
			}
		}
	})
}

// TestSlowPeerBlocksNobody: one that takes nothing costs the others no time and
// this host little memory, and has all once it takes again.
func TestSlowPeerBlocksNobody(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(10*time.Second, f.same)
		f.eventually(10*time.Second, f.apart)
		a, slow := f.nodes["h001"], f.nodes["h003"]
		hold := make(chan struct{})
		slow.onEachMerge(func(string) { <-hold })
		out := a.kept("h003").out
		for i := range 3000 {
			a.say(fmt.Sprintf("service-%d", i), 20)
			if i%100 == 0 {
				time.Sleep(10 * time.Millisecond)
				if b := f.nodes["h002"]; !b.hears("h001", fmt.Sprintf("service-%d", i), 20) {
					t.Fatalf("change %d waits for the slow peer", i)
				}
			}
			out.mu.Lock()
			size := out.size
			out.mu.Unlock()
			if size > maxOutbox {
				t.Fatalf("%d bytes wait", size)
			}
		}
		if a.Stats().PushesDropped == 0 {
			t.Error("nothing was dropped: the test is too small")
		}
		close(hold)
		t.Logf("whole after %v; %d of %d dropped", f.eventually(10*time.Second, f.same), a.Stats().PushesDropped, a.Stats().Pushes)
	})
}

// TestDeadPeerBlocksNobody: nor does one that is gone without a word.
func TestDeadPeerBlocksNobody(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, f *fleet) {
		f.addAll()
		f.eventually(10*time.Second, f.same)
		f.eventually(10*time.Second, f.apart)
		a, b := f.nodes["h001"], f.nodes["h002"]
		f.net.Cut(hostAddr(3).Addr())
		cut := time.Now()
		for i := range 60 {
			a.say("web", i+1)
			time.Sleep(20 * time.Millisecond)
			if !b.hears("h001", "web", i+1) {
				t.Fatalf("change %d waits for the dead peer", i)
			}
			time.Sleep(time.Second)
		}
		if a.kept("h003") != nil {
			t.Errorf("not noticed after %v", time.Since(cut))
		}
		f.net.Mend(hostAddr(3).Addr())
		f.eventually(retryMost+dialTimeout, f.same)
	})
}

// TestOutbox: the bytes are whole frames in their order, whatever is dropped.
func TestOutbox(t *testing.T) {
	var drained int
	o := newOutbox(func() { drained++ })
	frame := func(size int) []byte { return appendPush(nil, make([]byte, size)) }
	o.add(frame(1000))
	o.add(frame(10))
	b := make([]byte, 100)
	if n, err := o.Read(b); n != 100 || err != nil {
		t.Fatal(n, err)
	}
	for o.add(frame(maxPush)) { // until there is no room
	}
	if o.size != len(frame(1000))-100 || o.add(frame(1)) {
		t.Errorf("%d bytes left of the frame that is under way", o.size)
	}
	rest := 0
	for o.size > 0 {
		n, err := o.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		rest += n
	}
	if rest != len(frame(1000))-100 || drained != 0 {
		t.Errorf("%d bytes after that, drained %d times", rest, drained)
	}
	o.end()
	if n, err := o.Read(b); n != 0 || err == nil || drained != 1 {
		t.Errorf("at the end: %d, %v, drained %d times", n, err, drained)
	}
	if !o.add(frame(1)) || o.Close() != nil {
		t.Error("a closed outbox is no reason to compare")
	}
}

// TestOutboxUnderRace: many write, one reads, and what is read are whole frames.
func TestOutboxUnderRace(t *testing.T) {
	o := newOutbox(func() {})
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for i := range 500 {
				o.add(appendPush(nil, make([]byte, i*7)))
				if i%50 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	go func() {
		writers.Wait()
		o.end()
	}()
	in := newByteReader(o)
	frames := 0
	for {
		if _, err := readPush(in); err != nil {
			if frames == 0 {
				t.Error(err)
			}
			break
		}
		frames++
	}
	t.Logf("%d frames", frames)
}

package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

var (
	a = netip.MustParseAddr("10.0.0.1")
	b = netip.MustParseAddr("10.0.0.2")
)

func TestPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		from, _ := n.Host(a).ListenPacket(netip.AddrPortFrom(a, 7))
		to, _ := n.Host(b).ListenPacket(netip.AddrPortFrom(b, 7))
		send := func() { from.WriteTo([]byte("x"), to.LocalAddr()) }
		got := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, 10)
			for {
				if _, who, err := to.ReadFrom(buf); err != nil {
					return
				} else if who.String() != "10.0.0.1:7" {
					t.Errorf("from %s", who)
				}
				got++
			}
		}()
		settle := func(want int, what string) {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			if got != want {
				t.Errorf("%s: %d packets, want %d", what, got, want)
			}
		}
		send()
		settle(1, "plain")
		n.Partition([]netip.Addr{a}, []netip.Addr{b})
		send()
		settle(1, "partition")
		n.Heal()
		n.Cut(b)
		send()
		settle(1, "cut")
		n.Mend(b)
		n.SetLoss(0.5)
		for range 100 {
			send()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got < 25 || got > 75 {
			t.Errorf("%d of 100 packets arrived at half loss", got-1)
		}
		to.Close()
		from.Close()
		<-done
	})
}

func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		l, err := n.Host(b).Listen(netip.AddrPortFrom(b, 7))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.SetDeadline(time.Now().Add(time.Minute)) // a stream that a cut touched never ends by itself
				io.Copy(c, c)
				c.Close()
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		c, err := n.Host(a).Dial(ctx, a, netip.AddrPortFrom(b, 7))
		if err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		c.Write([]byte("hello"))
		buf := make([]byte, 5)
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "hello" {
			t.Fatalf("echo %q, %v", buf, err)
		}
		if took := time.Since(started); took != 4*time.Millisecond {
			t.Errorf("the echo took %v", took)
		}
		n.Cut(b)
		c.Write([]byte("lost"))
		c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read over a cut: %v", err)
		}
		c.Close()
		if _, err := c.Read(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
		if _, err := n.Host(a).Dial(ctx, a, netip.AddrPortFrom(b, 7)); err == nil {
			t.Error("dialled a host that is cut off")
		}
		n.Mend(b)
		if _, err := n.Host(a).Dial(t.Context(), a, netip.AddrPortFrom(b, 8)); err == nil {
			t.Error("dialled a port where nobody listens")
		}
		l.Close()
		<-done
	})
}

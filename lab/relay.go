package lab

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// relay carries frames between two interfaces and holds each back for a
// while. It does the work of netem, which kernels may lack.
type relay struct {
	left, right int // packet sockets
	delay       time.Duration
	closed      chan struct{}
	ended       sync.WaitGroup
}

const (
	// relayPoll is how often a relay without frames looks whether it is closed.
	relayPoll = 200 * time.Millisecond
	// relayQueue bounds the frames on their way in one direction; more are
	// dropped, as a full link does.
	relayQueue = 4096
	// frameSize is the largest frame with segmentation offload, and the
	// header that describes it.
	frameSize = 1<<16 + 256
)

// heldFrame is a frame and when it may go on.
type heldFrame struct {
	due  time.Time
	data []byte
}

// startRelay carries frames both ways between two interfaces of this network
// namespace until close.
func startRelay(left, right string, delay time.Duration) (*relay, error) {
	r := &relay{delay: delay, closed: make(chan struct{})}
	var err error
	if r.left, err = packetSocket(left); err != nil {
		return nil, err
	}
	if r.right, err = packetSocket(right); err != nil {
		_ = unix.Close(r.left)
		return nil, err
	}
	r.carry(r.left, r.right)
	r.carry(r.right, r.left)
	return r, nil
}

// packetSocket receives what comes in on an interface. The header of virtio
// in front of each frame keeps unfinished checksums and segments as they are.
func packetSocket(name string) (int, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, fmt.Errorf("open interface %s: %w", name, err)
	}
	const allProtocols = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open interface %s: %w", name, err)
	}
	timeout := unix.NsecToTimeval(int64(relayPoll))
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: allProtocols & 0xffff, Ifindex: i.Index}),
	)
	if err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("open interface %s: %w", name, err)
	}
	return fd, nil
}

// carry starts one direction.
func (r *relay) carry(from, to int) {
	queue := make(chan heldFrame, relayQueue)
	r.ended.Add(2)
	go func() {
		defer r.ended.Done()
		defer close(queue)
		buffer := make([]byte, frameSize)
		for !r.isClosed() {
			n, _, err := unix.Recvfrom(from, buffer, 0)
			if err != nil {
				if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
					continue
				}
				return // the interface is gone
			}
			select {
			case queue <- heldFrame{time.Now().Add(r.delay), append([]byte(nil), buffer[:n]...)}:
			default:
			}
		}
	}()
	go func() {
		defer r.ended.Done()
		for f := range queue {
			select {
			case <-time.After(time.Until(f.due)):
			case <-r.closed:
			}
			_, _ = unix.Write(to, f.data) // a link may drop
		}
	}()
}

func (r *relay) isClosed() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}

// close ends both directions and waits for them.
func (r *relay) close() {
	close(r.closed)
	r.ended.Wait()
	_ = unix.Close(r.left)
	_ = unix.Close(r.right)
}

// slow delays the host's packets from now on: its cable goes through a relay.
// Zero takes the relay out again. The caller holds mu.
func (h *host) slow(base string, delay time.Duration) error {
	if h.relay != nil {
		h.relay.close()
		h.relay = nil
		if err := errors.Join(
			ipBatch(base, "link del "+h.port+"r"),
			ipBatch(base, "link set "+h.port+" master "+bridge),
		); err != nil && delay == 0 && h.pid != 0 {
			return err
		}
	}
	if delay == 0 || h.pid == 0 {
		return nil
	}
	relayEnd, bridgeEnd := h.port+"r", h.port+"b"
	if err := ipBatch(base,
		"link set "+h.port+" nomaster",
		"link add "+relayEnd+" type veth peer name "+bridgeEnd,
		"link set "+relayEnd+" up",
		"link set "+bridgeEnd+" master "+bridge+" up",
	); err != nil {
		return err
	}
	var err error
	h.relay, err = startRelay(h.port, relayEnd, delay)
	return err
}

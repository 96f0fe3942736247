package guard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// headerSize is of what stands before the attributes of a message of netfilter:
// family, version, resource (struct nfgenmsg of linux/netfilter/nfnetlink.h).
const headerSize = 4

// askTimeout is how long an answer may take.
const askTimeout = time.Second

// socket is a netlink socket of netfilter's.
type socket struct {
	file  *os.File
	buf   []byte
	limit time.Duration // of a question
	seq   uint32        // of the last question, 0 = none was asked
}

// openSocket opens a socket that hears of changes of tables, if it shall.
func openSocket(changes bool) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	address := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if changes {
		address.Groups = 1 << (unix.NFNLGRP_NFTABLES - 1)
		// A load of thousands of callers is told element by element, while nobody
		// reads. Without the right to so much there is what the system gives.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	}
	if err := unix.Bind(fd, address); err != nil {
		return nil, errors.Join(fmt.Errorf("hear of changes of the kernel's tables: %w", err), unix.Close(fd))
	}
	return &socket{file: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, 64<<10), limit: askTimeout}, nil
}

func (s *socket) close() error { return s.file.Close() }

// message is one of a table: what is said, and of what.
type message struct {
	kind   uint16 // unix.NFT_MSG_*
	family byte
	attrs  attributes
}

// read gives the next messages of tables; done is the end of a list. The error
// of a request that the kernel refused is its errno. A socket that asks gets only
// what answers its last question: what is said to one that was given up comes late.
func (s *socket) read() (messages []message, done bool, err error) {
	n, err := s.file.Read(s.buf)
	if err != nil {
		return nil, false, err
	}
	raw, err := syscall.ParseNetlinkMessage(bytes.Clone(s.buf[:n])) // what is read stays when more is
	if err != nil {
		return nil, false, fmt.Errorf("read a message of the kernel: %w", err)
	}
	for _, m := range raw {
		switch {
		case s.seq != 0 && m.Header.Seq != s.seq:
		case m.Header.Type == unix.NLMSG_DONE:
			done = true
		case m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4:
			if code := int32(binary.NativeEndian.Uint32(m.Data)); code < 0 {
				return nil, false, syscall.Errno(-code)
			}
			done = true
		case m.Header.Type>>8 == unix.NFNL_SUBSYS_NFTABLES && len(m.Data) >= headerSize:
			messages = append(messages, message{kind: m.Header.Type & 0xff, family: m.Data[0], attrs: parseAttributes(m.Data[headerSize:])})
		}
	}
	return messages, done, nil
}

// ask sends a request and gives what is answered in time.
func (s *socket) ask(kind, flags uint16, attrs []byte) ([]message, error) {
	if err := s.file.SetDeadline(time.Now().Add(s.limit)); err != nil {
		return nil, err
	}
	if err := s.send(kind, flags, attrs); err != nil {
		return nil, err
	}
	var all []message
	for {
		messages, done, err := s.read()
		if err != nil {
			return nil, err
		}
		all = append(all, messages...)
		if done {
			return all, nil
		}
	}
}

// send sends a request.
func (s *socket) send(kind, flags uint16, attrs []byte) error {
	s.seq++
	size := unix.NLMSG_HDRLEN + headerSize + len(attrs)
	b := binary.NativeEndian.AppendUint32(nil, uint32(size))
	b = binary.NativeEndian.AppendUint16(b, unix.NFNL_SUBSYS_NFTABLES<<8|kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	b = binary.NativeEndian.AppendUint32(b, s.seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, unix.NFPROTO_INET, 0, 0, 0)
	b = append(b, attrs...)
	_, err := s.file.Write(b)
	return err
}

// attributes of a message by their number; one that comes twice is the later one.
type attributes map[uint16][]byte

// parseAttributes reads what is whole of them.
func parseAttributes(b []byte) attributes {
	attrs := attributes{}
	for len(b) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			break
		}
		attrs[binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)] = b[unix.SizeofNlAttr:size]
		b = b[min((size+3)&^3, len(b)):]
	}
	return attrs
}

// attribute writes one.
func attribute(b []byte, number uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, number)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// text is a string, which ends with a zero.
func (a attributes) text(number uint16) string {
	b := a[number]
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// number is an integer of 4 or 8 bytes, 0 where there is none.
func (a attributes) number(number uint16) uint64 {
	switch b := a[number]; len(b) {
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	default:
		return 0
	}
}

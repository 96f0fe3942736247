package lab

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"net/netip"
	"os"
	"strings"
)

// route is a line of the machine's IPv4 main table.
type route struct {
	to   netip.Prefix
	link string
}

// machineRoutes reads /proc/net/route, where addresses are hexadecimal in the
// machine's byte order.
func machineRoutes() ([]route, error) {
	f, err := os.Open("/proc/net/route")
	if err != nil {
		return nil, fmt.Errorf("read routes: %w", err)
	}
	defer f.Close()
	var routes []route
	lines := bufio.NewScanner(f)
	lines.Scan() // the header
	for lines.Scan() {
		w := strings.Fields(lines.Text())
		if len(w) < 8 {
			continue
		}
		to, okTo := procWord(w[1])
		mask, okMask := procWord(w[7])
		if !okTo || !okMask {
			return nil, fmt.Errorf("read routes: cannot read %q", lines.Text())
		}
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], to)
		routes = append(routes, route{netip.PrefixFrom(netip.AddrFrom4(b), bits.OnesCount32(mask)), w[0]})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read routes: %w", err)
	}
	return routes, nil
}

func procWord(s string) (uint32, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 4 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(b), true
}

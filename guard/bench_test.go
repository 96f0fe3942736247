package guard

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkConnect measures a connection and its first bytes at an application's
// port, without a table, with one, with both, and with both of thousands of
// callers. It prints the median beside the mean.
func BenchmarkConnect(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("not root")
	}
	text := func(name string, callers int) string {
		t, err := os.ReadFile("../modules/testdata/" + name)
		if err != nil {
			b.Fatal(err)
		}
		more := ""
		for i := range callers {
			more += fmt.Sprintf("      %d . 127.64.%d.%d . 80 : 127.65.0.1 . %d,\n", 33000+i, 1+i/250, 1+i%250, 15900+i)
		}
		return strings.Replace(strings.ReplaceAll(string(t), `"redis-shop"`, "32010"), "    elements = {\n", "    elements = {\n"+more, 1)
	}
	for _, c := range []struct {
		name    string
		tables  []string
		callers int
	}{{"none", nil, 0}, {"table", []string{"guard.nft"}, 0}, {"both", []string{"guard.nft", "guard-copy.nft"}, 0}, {"both of 3000", []string{"guard.nft", "guard-copy.nft"}, 3000}} {
		b.Run(c.name, func(b *testing.B) {
			n := newNetwork(b)
			var load time.Duration // of the last one
			for _, name := range c.tables {
				file := filepath.Join(b.TempDir(), name)
				if err := os.WriteFile(file, []byte(strings.Replace(text(name, c.callers), "  flags owner\n", "", 1)), 0o600); err != nil {
					b.Fatal(err)
				}
				begun := time.Now()
				n.run(b, "nft", "-f", file)
				load = time.Since(begun)
			}
			n.listens(b, 8081, "127.0.0.1:9000", "x")
			var each []time.Duration
			err := n.do(func() error {
				for b.Loop() {
					begun := time.Now()
					if answer := dial("tcp", netip.MustParseAddrPort("127.0.0.1:9000"), time.Second); answer != "x" {
						return fmt.Errorf("answered %q", answer)
					}
					each = append(each, time.Since(begun))
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			slices.Sort(each)
			b.ReportMetric(float64(each[len(each)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(load.Milliseconds()), "ms/load")
		})
	}
}

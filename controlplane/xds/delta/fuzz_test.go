package delta

import (
	"encoding/binary"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// FuzzRequests: whatever a peer sends, in whatever order, the server answers within
// its bounds or ends the stream. It never sends what is not there, and it rests.
func FuzzRequests(f *testing.F) {
	add := func(reqs ...*request) {
		var all []byte
		for _, r := range reqs {
			body, err := proto.Marshal(r)
			if err != nil {
				f.Fatal(err)
			}
			all = append(binary.AppendUvarint(all, uint64(len(body))), body...)
		}
		f.Add(all)
	}
	node := &core.Node{Id: "host1"}
	add(&request{TypeUrl: string(xds.Cluster), Node: node}, &request{TypeUrl: string(xds.Cluster), ResponseNonce: "1"})
	add(&request{TypeUrl: string(xds.Listener), Node: node}, &request{TypeUrl: string(xds.Listener), ResponseNonce: "1", ErrorDetail: &rpc.Status{Message: "l: no"}},
		&request{TypeUrl: string(xds.Listener), ResponseNonce: "2", ErrorDetail: &rpc.Status{Message: "cannot bind"}})
	add(&request{TypeUrl: string(xds.Assignment), Node: node, ResourceNamesSubscribe: []string{"e", "*", "none"}, InitialResourceVersions: map[string]string{"e": "1[]", "x": "2"}},
		&request{TypeUrl: string(xds.Assignment), ResourceNamesUnsubscribe: []string{"*", "e"}})
	add(&request{TypeUrl: "other", ResourceNamesSubscribe: []string{"a"}}, &request{})

	f.Fuzz(func(t *testing.T, data []byte) {
		s := New(Options{})
		c := thing(xds.Cluster, "c", "1", xds.Key{Type: xds.Assignment, Name: "e"})
		all := []*xds.Resource{c, thing(xds.Assignment, "e", "1"), thing(xds.Listener, "l", "1", c.Key), thing(xds.Listener, "m", "1"), thing(xds.Secret, "s", "1"), thing(xds.Route, "r", "1", c.Key)}
		there := map[string]bool{}
		for _, r := range all {
			there[string(r.Type)+r.Name] = true
		}
		s.Replace(all)
		st := s.open(func(error) {})
		for n := 0; len(data) > 0; n++ {
			size, used := binary.Uvarint(data)
			if used <= 0 || size > uint64(len(data)-used) {
				return
			}
			var req request
			if proto.Unmarshal(data[used:used+int(size)], &req) != nil {
				return
			}
			data = data[used+int(size):]
			if s.hear(st, &req) != nil {
				return
			}
			if n == 3 {
				s.Replace(all[2:])
			}
			for i := 0; ; i++ {
				out, _ := s.flush(st)
				for _, m := range out {
					for _, r := range m.GetResources() {
						if !there[m.GetTypeUrl()+r.GetName()] {
							t.Fatalf("sent %s", r.GetName())
						}
					}
				}
				if len(out) == 0 {
					break
				}
				if i > 100 {
					t.Fatal("it never rests")
				}
			}
			s.Status()
		}
	})
}

package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// Dump writes what this host's Envoy is told, or says that it has: an
// agentapi.Dump, piece by piece, so that none of it is held twice.
func (a *Agent) Dump(ctx context.Context, part string, w io.Writer) error {
	head := agentapi.Dump{Schema: agentapi.DumpSchema, Host: a.host, Time: a.opts.Clock.Now()}
	a.proxy.mu.Lock()
	head.Document = a.proxy.version
	a.proxy.mu.Unlock()
	open, err := json.Marshal(head)
	if err != nil {
		return err
	}
	open = bytes.TrimSuffix(open, []byte("}"))
	if part == agentapi.DumpEnvoy {
		return a.proxy.admin.dump(ctx, w, string(open)+`,"envoy":`, "}")
	}
	var of xds.Type
	if part != "" {
		of = xds.Types()[slices.Index(agentapi.DumpParts(), part)]
	}
	between := string(open) + `,"resources":[`
	for _, r := range a.proxy.resources(of) {
		text, err := r.JSON()
		if err != nil {
			return err
		}
		line, err := json.Marshal(agentapi.DumpResource{
			Type: typeName(r.Type), Name: r.Name, Version: r.Version, Acked: a.proxy.server.AckedVersion(r.Key), About: aboutText(r.About), Content: text,
		})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s%s", between, line); err != nil {
			return err
		}
		between = ","
	}
	if between != "," {
		if _, err := io.WriteString(w, between); err != nil {
			return err
		}
	}
	_, err = io.WriteString(w, "]}")
	return err
}

// maxDump bounds a dump of Envoy, in bytes: what it has for 1,000 clusters is some
// 30 MB. It is passed on as it comes.
const maxDump = 512 << 20

// dump writes Envoy's own dump without keys, between two texts; nothing is
// written where Envoy does not answer. Dumps have a turn of their own: who takes
// one slowly keeps nobody from asking Envoy something else.
func (a *admin) dump(ctx context.Context, w io.Writer, before, after string) error {
	if a.client == nil {
		return errNoAdmin
	}
	if !a.dumping.try() {
		return errors.New("somebody else dumps this host's Envoy just now: try again in a moment")
	}
	defer a.dumping.give()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy/config_dump?include_eds", nil)
	if err != nil {
		return fmt.Errorf("ask Envoy: %w", err)
	}
	answer, err := a.client.Do(request)
	if err != nil {
		return fmt.Errorf("ask Envoy: %w", errors.Unwrap(err)) // without the URL, which says nothing
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("ask Envoy: it answers with status %d", answer.StatusCode)
	}
	if _, err := io.WriteString(w, before); err != nil {
		return err
	}
	if err := redact(w, answer.Body, maxDump); err != nil {
		return fmt.Errorf("pass Envoy's dump on: %w", err)
	}
	_, err = io.WriteString(w, after)
	return err
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/nix"
)

// localStore is the Nix store of this machine, or the lab's, for package
// deploy.
type localStore struct {
	tool *nix.Tool
	keys *operatorKeys
	wrap func(ctx context.Context, env []string, args ...string) *exec.Cmd
}

var _ deploy.Store = (*localStore)(nil)

// shellTimeout bounds the reading of a store.
const shellTimeout = 2 * time.Minute

// Shell runs a line where the store is.
func (s *localStore) Shell(ctx context.Context, line string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, shellTimeout)
	defer cancel()
	var cmd *exec.Cmd
	if s.wrap != nil {
		cmd = s.wrap(ctx, os.Environ(), "sh", "-c", line)
	} else {
		cmd = exec.CommandContext(ctx, "sh", "-c", line)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// SignClosure signs a toplevel with all it needs.
func (s *localStore) SignClosure(ctx context.Context, toplevel string) ([]string, error) {
	key, file, err := s.keys.nixKey()
	if err != nil {
		return nil, err
	}
	if err := s.tool.Sign(ctx, file, toplevel); err != nil {
		return nil, err
	}
	info, err := s.tool.PathInfo(ctx, toplevel)
	if err != nil {
		return nil, err
	}
	return []string{nix.SignPath(key, info)}, nil
}

// Copy sends a closure through a bridge, once.
func (s *localStore) Copy(ctx context.Context, r deploy.CopyRequest, progress func(done, total int64)) error {
	o := nix.CopyOptions{Host: r.Host, Socket: r.Socket, Paths: []string{r.Toplevel}, NoCheckSigs: r.NoCheck, Attempts: 1, Reason: r.Reason}
	err := s.tool.Copy(ctx, o, func(e nix.Event) {
		if e.Kind == nix.EventProgress && e.OfBytes > 0 {
			progress(e.Bytes, e.OfBytes)
		}
	})
	if errors.Is(err, nix.ErrNoNix) {
		return fmt.Errorf("%w\ninstall Nix on this machine: it builds and copies", err)
	}
	return err
}

package nix

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"sort"
	"strings"
)

// storeDir is where all our stores are.
const storeDir = "/nix/store"

// PathInfo is what a store knows about a valid path.
type PathInfo struct {
	Path       string
	NarHash    string // SRI: "sha256-…"
	NarSize    int64
	References []string // full store paths, sorted
	Signatures []string // "NAME:BASE64"
	Deriver    string
	CA         string // content address, "" = none
}

// Name is the path's name without the hash.
func (i PathInfo) Name() string {
	base := path.Base(i.Path)
	if len(base) > 33 {
		return base[33:]
	}
	return base
}

// Store says which store a call is about; the zero value is the local one.
type Store struct {
	Host   string // name of the spec
	Socket string // of the bridge to nix-daemon on that host
}

// PathInfo asks the local store about one path.
func (t *Tool) PathInfo(ctx context.Context, storePath string) (PathInfo, error) {
	return t.PathInfoOn(ctx, Store{}, storePath)
}

// PathInfoOn asks a store about one path. A path that is not valid there is an
// error.
func (t *Tool) PathInfoOn(ctx context.Context, s Store, storePath string) (PathInfo, error) {
	infos, err := t.pathInfos(ctx, s, false, storePath)
	if err != nil {
		return PathInfo{}, err
	}
	for _, i := range infos {
		if i.Path == storePath {
			return i, nil
		}
	}
	return PathInfo{}, fmt.Errorf("ask about %s: %w", storePath, ErrInvalidPath)
}

// Closure is a path and all it refers to, sorted by path.
func (t *Tool) Closure(ctx context.Context, s Store, storePath string) ([]PathInfo, error) {
	return t.pathInfos(ctx, s, true, storePath)
}

func (t *Tool) pathInfos(ctx context.Context, s Store, recursive bool, storePath string) ([]PathInfo, error) {
	args := t.nix("path-info", "--json")
	if recursive {
		args = append(args, "--recursive")
	}
	env, url := t.storeArgs(s)
	if url != "" {
		args = append(args, "--store", url)
	}
	out, err := t.run(ctx, call{doing: "ask about " + storePath, env: env, args: append(args, storePath)})
	if err != nil {
		if e := (*Error)(nil); asError(err, &e) && strings.Contains(e.Text, "is not valid") {
			return nil, fmt.Errorf("%w: %w", ErrInvalidPath, err)
		}
		return nil, err
	}
	return parsePathInfos(out)
}

// rawInfo is one path in any of the JSON forms of `nix path-info`.
type rawInfo struct {
	Path       string            `json:"path"`
	NarHash    json.RawMessage   `json:"narHash"`
	NarSize    int64             `json:"narSize"`
	References []string          `json:"references"`
	Signatures []json.RawMessage `json:"signatures"`
	Deriver    *string           `json:"deriver"`
	CA         json.RawMessage   `json:"ca"`
}

// parsePathInfos reads the forms that nix has had: a list (to 2.18), a map
// from path to info or null (from 2.19), and that map under "info", with base
// names and structured hashes (--json-format 2 and 3).
func parsePathInfos(out []byte) ([]PathInfo, error) {
	var list []rawInfo
	if trimmed := bytes.TrimSpace(out); len(trimmed) > 0 && trimmed[0] == '[' {
		if err := json.Unmarshal(out, &list); err != nil {
			return nil, fmt.Errorf("parse path infos: %w", err)
		}
	} else {
		byPath := map[string]json.RawMessage{}
		if err := json.Unmarshal(out, &byPath); err != nil {
			return nil, fmt.Errorf("parse path infos: %w", err)
		}
		if inner, ok := byPath["info"]; ok {
			byPath = map[string]json.RawMessage{}
			if err := json.Unmarshal(inner, &byPath); err != nil {
				return nil, fmt.Errorf("parse path infos: %w", err)
			}
		}
		for p, raw := range byPath {
			if string(raw) == "null" {
				return nil, fmt.Errorf("%w: %s", ErrInvalidPath, p)
			}
			var i rawInfo
			if err := json.Unmarshal(raw, &i); err != nil {
				return nil, fmt.Errorf("parse path info of %s: %w", p, err)
			}
			i.Path = p
			list = append(list, i)
		}
	}
	infos := make([]PathInfo, 0, len(list))
	for _, raw := range list {
		i, err := raw.info()
		if err != nil {
			return nil, fmt.Errorf("parse path info of %s: %w", raw.Path, err)
		}
		infos = append(infos, i)
	}
	sort.Slice(infos, func(a, b int) bool { return infos[a].Path < infos[b].Path })
	return infos, nil
}

func (r rawInfo) info() (PathInfo, error) {
	i := PathInfo{Path: fullPath(r.Path), NarSize: r.NarSize, References: make([]string, len(r.References))}
	for n, ref := range r.References {
		i.References[n] = fullPath(ref)
	}
	sort.Strings(i.References)
	var err error
	if i.NarHash, err = parseHash(r.NarHash); err != nil {
		return i, err
	}
	for _, raw := range r.Signatures {
		s, err := parseSignature(raw)
		if err != nil {
			return i, err
		}
		i.Signatures = append(i.Signatures, s)
	}
	if r.Deriver != nil {
		i.Deriver = fullPath(*r.Deriver)
	}
	if len(r.CA) > 0 && string(r.CA) != "null" {
		i.CA = strings.Trim(string(r.CA), `"`)
	}
	return i, nil
}

// parseSignature reads "NAME:BASE64" or {"keyName": …, "sig": …}.
func parseSignature(raw json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	var parts struct{ KeyName, Sig string }
	if err := json.Unmarshal(raw, &parts); err != nil || parts.KeyName == "" {
		return "", fmt.Errorf("signature %s is not understood", raw)
	}
	return parts.KeyName + ":" + parts.Sig, nil
}

func fullPath(p string) string {
	if p == "" || strings.HasPrefix(p, "/") {
		return p
	}
	return storeDir + "/" + p
}

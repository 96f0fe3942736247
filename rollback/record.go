package rollback

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// releaseNamespace is the SSHSIG namespace of release records.
const releaseNamespace = "nixmesh-release"

// newestRecords is how many records the taker of the ledger gets; a number and
// its parent need one, a fork is seen in the few behind it.
const newestRecords = 16

var (
	hashPattern   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	recordPattern = regexp.MustCompile(`^([0-9]+)\.([0-9a-f]{64})\.json$`)
	runRelease    = regexp.MustCompile(`^r([0-9]+)-`)
)

func recordFile(number int, hash, suffix string) string {
	return fmt.Sprintf("%s/%d.%s%s", releasesDir, number, hash, suffix)
}

// record stores a release record that an operator of this host has signed, and
// lets go of what is older than the newest Keep.
func (h *helper) record(_ context.Context, _ *call) error {
	var req RecordRequest
	if err := h.request(&req); err != nil {
		return err
	}
	if err := h.checkRecord(req); err != nil {
		return err
	}
	if err := h.Files.MkdirAll(releasesDir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", releasesDir, err)
	}
	r := req.Record
	// The signature first: a record is only ever found together with it.
	if err := writeDurable(h.Files, recordFile(r.Number, r.Hash, ".sig"), []byte(r.Sig)); err != nil {
		return err
	}
	if err := writeDurable(h.Files, recordFile(r.Number, r.Hash, ".json"), r.Body); err != nil {
		return err
	}
	kept, err := h.prune(req.Keep)
	if err != nil {
		return err
	}
	return h.answer(RecordAnswer{Kept: kept})
}

// checkRecord demands the hash, and the SSHSIG of an operator whom this host's
// generation (at first contact NEW's) lists.
func (h *helper) checkRecord(req RecordRequest) error {
	r := req.Record
	if r.Number <= 0 {
		return refuse(CodeUsage, "", "release number %d: want 1 or more", r.Number)
	}
	sum := sha256.Sum256(r.Body)
	if got := hex.EncodeToString(sum[:]); got != r.Hash {
		return refuse(CodeUsage, "", "record %d hashes to %s, not to %s", r.Number, got, r.Hash)
	}
	facts, err := h.facts(h.current())
	if errors.Is(err, fs.ErrNotExist) && toplevelPattern.MatchString(req.NewToplevel) {
		// First contact: the caller is root already, and there is no user
		// deploy who could name a toplevel of his own.
		facts, err = h.facts(req.NewToplevel)
	}
	if err != nil {
		return refuse(CodeSignature, "", "whose record is trusted here is not known: %w", err)
	}
	if h.Signature == nil {
		return refuse(CodeSignature, "", "this program cannot check signatures")
	}
	allowed, err := h.allowed(facts)
	if err != nil {
		return err
	}
	if err := h.Signature(allowed, releaseNamespace, r.Body, r.Sig); err != nil {
		return refuse(CodeSignature, "sign the release as an operator of this host's generation", "record %d: %w", r.Number, err)
	}
	return nil
}

// signers are the operators' signing keys.
func signers(f *hostfacts.Facts) []string {
	var keys []string
	for _, o := range f.Operators {
		keys = append(keys, o.Sign...)
	}
	return keys
}

// allowed are the signing keys that were not removed from this host.
func (h *helper) allowed(f *hostfacts.Facts) ([]string, error) {
	revoked, err := h.revoked()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(signers(f), func(line string) bool { return slices.Contains(revoked, hostfacts.SigningKey(line)) }), nil
}

// storedRecord is a record by its name only.
type storedRecord struct {
	number int
	hash   string
}

// stored lists the records on this host, newest first.
func (h *helper) stored() ([]storedRecord, error) {
	names, err := h.Files.ReadDir(releasesDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", releasesDir, err)
	}
	var all []storedRecord
	for _, n := range names {
		if m := recordPattern.FindStringSubmatch(n); m != nil {
			number, err := strconv.Atoi(m[1])
			if err == nil {
				all = append(all, storedRecord{number, m[2]})
			}
		}
	}
	slices.SortFunc(all, func(a, b storedRecord) int {
		return cmp.Or(cmp.Compare(b.number, a.number), cmp.Compare(a.hash, b.hash))
	})
	return all, nil
}

// kindOf is the kind of a record's release, "" where it cannot be read.
func (h *helper) kindOf(s storedRecord) string {
	var record struct {
		Kind string `json:"kind"`
	}
	body, err := h.Files.ReadFile(recordFile(s.number, s.hash, ".json"))
	if err != nil || json.Unmarshal(body, &record) != nil {
		return ""
	}
	return record.Kind
}

// records reads the newest n records (0 = newestRecords), as they were stored.
func (h *helper) records(n int) ([]Record, error) {
	if n <= 0 {
		n = newestRecords
	}
	all, err := h.stored()
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, s := range all[:min(n, len(all))] {
		body, err := h.Files.ReadFile(recordFile(s.number, s.hash, ".json"))
		if err != nil {
			return nil, fmt.Errorf("read record %d: %w", s.number, err)
		}
		r := Record{Number: s.number, Hash: s.hash, Body: body, Sig: h.raw(recordFile(s.number, s.hash, ".sig"))}
		if o := h.raw(recordFile(s.number, s.hash, ".outcome.json")); json.Valid([]byte(o)) {
			r.Outcome = json.RawMessage(o)
		}
		records = append(records, r)
	}
	return records, nil
}

// raw is a file's content, "" where it is not there.
func (h *helper) raw(name string) string {
	b, err := h.Files.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(b)
}

// prune keeps the records, roots and logs of the newest keep releases, and the
// roots of what runs, boots, or is being brought. Releases of the mesh alone have
// no systems; as many of them are kept beside, so that they push out none.
func (h *helper) prune(keep int) ([]int, error) {
	all, err := h.stored()
	if err != nil {
		return nil, err
	}
	var kept []int
	have := map[bool]int{}
	for _, s := range all {
		if mesh := h.kindOf(s) == releaseOfMesh; !slices.Contains(kept, s.number) && (keep <= 0 || have[mesh] < keep) {
			have[mesh]++
			kept = append(kept, s.number)
		}
		if slices.Contains(kept, s.number) {
			continue
		}
		for _, suffix := range []string{".json", ".sig", ".outcome.json"} {
			if err := h.Files.Remove(recordFile(s.number, s.hash, suffix)); err != nil {
				return nil, fmt.Errorf("remove record %d: %w", s.number, err)
			}
		}
	}
	if err := errors.Join(h.pruneRoots(kept), h.pruneLogs(kept)); err != nil {
		return nil, err
	}
	return kept, nil
}

func (h *helper) pruneRoots(kept []int) error {
	names, err := h.Files.ReadDir(gcrootsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read roots: %w", err)
	}
	profile, _ := h.profile()
	_, boots := h.loaderDefault()
	inUse := []string{h.current(), h.link(bootedLink), profile, boots}
	if j, err := h.journals.load(); err == nil {
		inUse = append(inUse, j.Old, j.New, j.OldProfile) // the previous system, or the way back
	}
	for _, n := range names {
		number, ok := strings.CutPrefix(n, "release-")
		release, err := strconv.Atoi(number)
		if !ok || err != nil || slices.Contains(kept, release) || slices.Contains(inUse, h.link(gcrootsDir+"/"+n)) {
			continue
		}
		if err := h.Files.Remove(gcrootsDir + "/" + n); err != nil {
			return fmt.Errorf("remove root: %w", err)
		}
	}
	return nil
}

func (h *helper) pruneLogs(kept []int) error {
	names, err := h.Files.ReadDir(logDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read logs: %w", err)
	}
	var current string
	if j, err := h.journals.load(); err == nil {
		current = j.Run
	}
	for _, n := range names {
		m := runRelease.FindStringSubmatch(n)
		if m == nil || n == current+".log" {
			continue
		}
		release, err := strconv.Atoi(m[1])
		if err != nil || slices.Contains(kept, release) || (len(kept) > 0 && release > slices.Max(kept)) {
			continue
		}
		if err := h.Files.Remove(logDir + "/" + n); err != nil {
			return fmt.Errorf("remove log: %w", err)
		}
	}
	return nil
}

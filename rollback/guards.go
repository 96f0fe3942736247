package rollback

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// acceptDrift lets a run start from what the host has, whatever was planned.
const (
	acceptDrift        = "drift"
	acceptUnreadLoader = "unread-loader"
	acceptRepair       = "repair"
)

// bootSlack is what a loader entry and the folder need beside the kernel.
const bootSlack = 256 << 10

// guard refuses a switch that cannot end well. Nothing has been changed yet.
func (h *helper) guard(ctx context.Context, j *Journal) error {
	stc := j.New + stcPath
	if !exists(h.Files, j.New+"/nixos-version") {
		return refuse(CodeGuard, "", "%s has no nixos-version: it is no NixOS system", j.New)
	}
	if st, err := h.Files.Stat(stc); err != nil || !st.Executable {
		return refuse(CodeGuard, "set system.switch.enable", "%s is not there: the host is an image and cannot switch", stc)
	}
	if st, err := h.Files.Stat(j.Old + stcPath); err != nil || !st.Executable {
		return refuse(CodeGuard, "", "%s is not there: there would be no way back", j.Old+stcPath)
	}
	if was, will := h.text(j.Old+"/system"), h.text(j.New+"/system"); was != will {
		return refuse(CodeGuard, "", "the new system is built for %q, the host is %q", will, was)
	}
	if err := h.sameAsRooted(j); err != nil {
		return err
	}
	if err := h.rebootNeeded(j.Old, j.New); err != nil {
		return err
	}
	if err := h.readableLoader(j); err != nil {
		return err
	}
	return h.bootRoom(j.New)
}

// text is a small file's content without white space around it; "" where it is
// not there.
func (h *helper) text(name string) string {
	b, err := h.Files.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// sameAsRooted is the comparison of root once more: time has passed since.
func (h *helper) sameAsRooted(j *Journal) error {
	if now := h.current(); now != j.Old {
		return refuse(CodeDrift, "plan again", "the host runs %s, the run was opened on %s", now, j.Old)
	}
	if now, _ := h.profile(); now != j.OldProfile {
		return refuse(CodeDrift, "plan again", "the system profile is %s, the run was opened on %s", now, j.OldProfile)
	}
	return nil
}

// rebootNeeded refuses what a switch without reboot cannot bring.
func (h *helper) rebootNeeded(old, new string) error {
	const file = "/init-interface-version"
	if was, will := h.text(old+file), h.text(new+file); was != will {
		return refuse(CodeGuard, "this host needs the reboot path", "the init interface changes from %q to %q: the new system takes effect only after a reboot", was, will)
	}
	changed, err := h.inhibitors(old, new)
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		return refuse(CodeGuard, "this host needs the reboot path", "a switch is inhibited because of a change of %s", joinMax(changed, 5))
	}
	return nil
}

// inhibitors names the components that forbid a switch. The file is JSON (name
// to value; names on both sides count) or a text of store paths.
func (h *helper) inhibitors(old, new string) ([]string, error) {
	const file = "/switch-inhibitors"
	a, errA := h.Files.ReadFile(old + file)
	b, errB := h.Files.ReadFile(new + file)
	if errors.Is(errA, fs.ErrNotExist) || errors.Is(errB, fs.ErrNotExist) {
		return nil, nil
	}
	if err := errors.Join(errA, errB); err != nil {
		return nil, fmt.Errorf("read switch inhibitors: %w", err)
	}
	var was, will map[string]string
	if json.Unmarshal(a, &was) == nil && json.Unmarshal(b, &will) == nil {
		var changed []string
		for name, v := range was {
			if w, ok := will[name]; ok && w != v {
				changed = append(changed, name)
			}
		}
		slices.Sort(changed)
		return changed, nil
	}
	if !bytes.Equal(bytes.TrimSpace(a), bytes.TrimSpace(b)) {
		return []string{"the list of inhibitors"}, nil
	}
	return nil, nil
}

// readableLoader refuses a loader whose default we could not verify after the
// commit.
func (h *helper) readableLoader(j *Journal) error {
	kind, def := h.loaderDefault()
	if def != "" || slices.Contains(j.Accept, acceptUnreadLoader) {
		return nil
	}
	if kind == "" {
		kind = "no known boot loader"
	}
	return refuse(CodeGuard, "deploy with --accept "+acceptUnreadLoader+" to commit without that proof",
		"what boots next cannot be read (%s): a commit could not be verified", kind)
}

// bootRoom demands room for NEW's kernel and initrd beside all that is there:
// the installer writes the new entry before it removes the oldest.
func (h *helper) bootRoom(toplevel string) error {
	dir := h.loaderFolder()
	if dir == "" {
		return nil
	}
	need := int64(bootSlack)
	for _, part := range []string{"/kernel", "/initrd"} {
		st, err := h.Files.Stat(toplevel + part)
		if err != nil || h.onBoot(dir, h.link(toplevel+part)) {
			continue
		}
		need += st.Size
	}
	free, _, err := h.Files.Free(dir)
	if err != nil {
		return err
	}
	if free < need {
		return refuse(CodeGuard, "lower boot.loader.*.configurationLimit or free space there",
			"%s has %d KiB free, the new entry needs %d KiB", dir, free>>10, need>>10)
	}
	return nil
}

// onBoot says whether a kernel or initrd is on the loader's partition already:
// its file name there holds its store path's.
func (h *helper) onBoot(dir, target string) bool {
	store := path.Base(storePath(target))
	if target == "" || store == "." {
		return false
	}
	for _, d := range []string{dir + "/EFI/nixos", dir + "/kernels", dir + "/nixos"} {
		names, err := h.Files.ReadDir(d)
		if err != nil {
			continue
		}
		for _, n := range names {
			if strings.HasPrefix(n, store) {
				return true
			}
		}
	}
	return false
}

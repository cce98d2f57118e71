//go:build linux

package native

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canReclaim tries it on a page of this process: kernels before 5.10 have no such call.
func (d *Driver) canReclaim() bool {
	if !d.privileged || !d.freezes {
		return false
	}
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Munmap(page) }()
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return false
	}
	defer unix.Close(self)
	return pageOut(self, uint64(uintptr(unsafe.Pointer(&page[0]))), uint64(len(page))) == nil
}

// pageOut has the kernel write a stretch of a process's memory to swap.
func pageOut(pidfd int, address, size uint64) error {
	// As struct iovec, which for another process holds an address that means nothing here.
	stretch := [2]uint64{address, size}
	_, _, errno := unix.Syscall6(unix.SYS_PROCESS_MADVISE, uintptr(pidfd), uintptr(unsafe.Pointer(&stretch[0])), 1, unix.MADV_PAGEOUT, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Reclaim implements sandbox.Instance.
func (in *instance) Reclaim() (err error) {
	if !in.driver.reclaims {
		return errors.ErrUnsupported
	}
	var host unix.Sysinfo_t
	if err := unix.Sysinfo(&host); err != nil {
		return fmt.Errorf("reclaim: %w", err)
	}
	if host.Freeswap == 0 {
		return fmt.Errorf("reclaim: the host has no swap to spare: %w", errors.ErrUnsupported)
	}
	gr := in.group
	if gr.parent.v2 != "" && gr.parent.has("memory") {
		// What runs may not swap, or its limit of memory would be none; this tree is frozen.
		limit := filepath.Join(gr.folder(""), "memory.swap.max")
		if err := ignoreMissing(writeFile(limit, "max")); err != nil {
			return fmt.Errorf("reclaim: %w", err)
		}
		defer func() { err = errors.Join(err, ignoreMissing(writeFile(limit, "0"))) }()
	}
	pids, err := gr.processes()
	for _, pid := range pids {
		err = errors.Join(err, reclaim(pid))
	}
	return err
}

// processes lists those of the group. It needs the tree that freezes.
func (gr *group) processes() ([]int, error) {
	text, err := os.ReadFile(filepath.Join(gr.parent.freezer(), gr.name, "cgroup.procs"))
	if err != nil {
		return nil, fmt.Errorf("reclaim: %w", err)
	}
	var pids []int
	for _, field := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("reclaim: %w", err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// reclaim pages out what a process alone may write to. A process that has ended meanwhile is none, and that another should have its number
// would cost that one some page faults.
func reclaim(pid int) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reclaim: %w", err)
	}
	defer unix.Close(pidfd)
	maps, err := os.Open("/proc/" + strconv.Itoa(pid) + "/maps")
	if err != nil {
		return ignoreMissing(err)
	}
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var begin, end uint64
		var kind string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &begin, &end, &kind); err != nil {
			return fmt.Errorf("reclaim: read the map of memory: %w", err)
		}
		if len(kind) != 4 || kind[1] != 'w' || kind[3] != 'p' {
			continue
		}
		switch err := pageOut(pidfd, begin, end-begin); {
		case errors.Is(err, unix.ESRCH):
			return nil
		case errors.Is(err, unix.EPERM):
			return fmt.Errorf("reclaim: %w", err)
		} // other stretches are of a kind that is not paged out
	}
	return lines.Err()
}

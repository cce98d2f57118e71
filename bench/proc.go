package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc; it is the same on every Linux.
const tick = 10 * time.Millisecond

// procStat is what is used of /proc/<pid>/stat.
type procStat struct {
	PID, Parent int
	Name        string
	CPU         time.Duration // its own, and that of children it has waited for
}

// parseStat reads a line of /proc/<pid>/stat. The name stands in brackets and may hold anything, brackets included.
func parseStat(text string) (procStat, error) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 1 || end < open {
		return procStat{}, fmt.Errorf("no name in %.40q", text)
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 15 {
		return procStat{}, fmt.Errorf("%d fields in %.40q", len(fields), text)
	}
	s := procStat{Name: text[open+1 : end]}
	var errs [6]error
	s.PID, errs[0] = strconv.Atoi(strings.TrimSpace(text[:open]))
	s.Parent, errs[1] = strconv.Atoi(fields[1])
	for i, field := range fields[11:15] { // utime, stime, cutime, cstime
		var ticks int64
		ticks, errs[2+i] = strconv.ParseInt(field, 10, 64)
		s.CPU += time.Duration(ticks) * tick
	}
	return s, errors.Join(errs[:]...)
}

// tree gives a process and everything below it.
func tree(pid int) ([]procStat, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]procStat{}
	var found []procStat
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended meanwhile
		}
		s, err := parseStat(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		children[s.Parent] = append(children[s.Parent], s)
		if s.PID == pid {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("process %d is gone", pid)
	}
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i].PID]...)
	}
	return found, nil
}

// treeCPU is the processor time that a process and everything below it has used, ended children included.
func treeCPU(pid int) (time.Duration, error) {
	processes, err := tree(pid)
	var total time.Duration
	for _, p := range processes {
		total += p.CPU
	}
	return total, err
}

// machineCPU is the processor time that the whole machine has used.
func machineCPU() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return parseMachine(line)
}

// parseMachine reads the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
func parseMachine(line string) (time.Duration, error) {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("first line of /proc/stat: %.60q", line)
	}
	var total time.Duration
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		if i != 3 && i != 4 {
			total += time.Duration(ticks) * tick
		}
	}
	return total, nil
}

// memory is what one process holds, in MiB.
type memory struct {
	RSS, PSS float64
}

func memoryOf(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return memory{}, err
	}
	return parseMemory(text)
}

// parseMemory reads smaps_rollup.
func parseMemory(text []byte) (memory, error) {
	found := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		kib, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return memory{}, err
		}
		found[fields[0]] = kib / 1024
	}
	if found["Rss:"] == 0 {
		return memory{}, errors.New("smaps_rollup has no Rss")
	}
	return memory{RSS: found["Rss:"], PSS: found["Pss:"]}, nil
}

// workers gives the PSS of every process below pid whose program is called like the prefix.
func workers(pid int, prefix string) ([]float64, error) {
	processes, err := tree(pid)
	if err != nil {
		return nil, err
	}
	var found []float64
	for _, p := range processes[1:] {
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.PID))
		if err != nil || !strings.HasPrefix(filepath.Base(program), prefix) {
			continue // it has ended, or is another program
		}
		if m, err := memoryOf(p.PID); err == nil {
			found = append(found, m.PSS)
		}
	}
	return found, nil
}

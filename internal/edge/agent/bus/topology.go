package bus

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// topology is which sub-devices belong to this gateway, as its drivers have said. The gateway answers for itself, so that drivers
// come up without a network too.
type topology struct {
	mu      sync.Mutex
	file    string
	devices map[device]bool
}

// loadTopology gives an empty one beside an error.
func loadTopology(file string) (*topology, error) {
	t := &topology{file: file, devices: map[device]bool{}}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return t, nil
	}
	var all []device
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	for _, d := range all {
		t.devices[d] = true
	}
	return t, err
}

// change adds devices, or removes them.
func (t *topology) change(devices []device, there bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range devices {
		switch {
		case !there:
			delete(t.devices, d)
		case len(t.devices) < maxDevices:
			t.devices[d] = true
		default:
			return errors.New("too many sub-devices")
		}
	}
	text, err := json.Marshal(t.list())
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(t.file), ".topology-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), t.file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// list gives all; t.mu is held.
func (t *topology) list() []device {
	all := make([]device, 0, len(t.devices))
	for d := range t.devices {
		all = append(all, d)
	}
	return all
}

// request is what drivers ask of the platform's topics, and reply what they are told (edge reference 1.5).
type request struct {
	RequestID json.RawMessage
	Params    []device
}

type reply struct {
	RequestID json.RawMessage
	RetCode   int
	Message   string   `json:",omitempty"`
	Data      []device `json:",omitempty"`
}

// refused is the RetCode of what a gateway cannot answer by itself.
const refused = -1

// system answers a driver on a topic of the platform, "/$system/product/device/subdev/...". Drivers put the sub-device's serial
// numbers there, or any; the answer goes back under the topic that they used.
func (b *Bus) system(from string, up upward) {
	parts := strings.SplitN(up.Topic, "/", 5) // "", "$system", product, device, rest
	if len(parts) < 5 {
		return
	}
	var asked request
	if err := json.Unmarshal(up.Payload, &asked); err != nil {
		b.cfg.Log.Warn("a request on the local bus cannot be read", "topic", up.Topic, "err", err)
		return
	}
	answer := reply{RequestID: asked.RequestID}
	devices := map[device]bool{}
	for _, d := range asked.Params {
		devices[d] = true
	}
	var err error
	switch parts[4] {
	case "subdev/topo/add", "subdev/register":
		err = b.topology.change(asked.Params, true)
		b.see(from, devices)
		answer.Data = asked.Params
	case "subdev/topo/delete":
		err = b.topology.change(asked.Params, false)
	case "subdev/topo/get":
		b.topology.mu.Lock()
		answer.Data = b.topology.list()
		b.topology.mu.Unlock()
	case "subdev/login", "subdev/topo/found":
		b.see(from, devices)
	case "subdev/logout":
		b.leave(from, devices)
	default:
		answer.RetCode, answer.Message = refused, "the gateway does not know "+parts[4]
	}
	if err != nil {
		answer.RetCode, answer.Message = refused, err.Error()
	}
	text, err := json.Marshal(answer)
	if err != nil {
		b.cfg.Log.Error("an answer cannot be written", "err", err)
		return
	}
	b.publish("edge.local.broadcast", downward{Topic: up.Topic + "_reply", Payload: text})
}

// leave notes that a driver speaks for some devices no longer.
func (b *Bus) leave(id string, devices map[device]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.drivers[id]; d != nil {
		for dev := range devices {
			delete(d.devices, dev)
		}
	}
}

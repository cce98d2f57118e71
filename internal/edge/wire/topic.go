package wire

import (
	"strings"
)

// ID names a gateway: by the serial numbers of its product and its own. See ValidSN.
type ID struct{ Product, Gateway string }

// Valid tells whether both serial numbers keep their rule, so that they are no more than one level of a topic.
func (id ID) Valid() bool { return ValidSN(id.Product) && ValidSN(id.Gateway) }

// ValidSN is the rule of a serial number: 1 to 32 letters, digits, "-", "_" and ":" (a MAC, an IMEI or 16 made characters).
func ValidSN(sn string) bool {
	if sn == "" || len(sn) > 32 {
		return false
	}
	for i := range len(sn) {
		c := sn[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != ':' {
			return false
		}
	}
	return true
}

// ClientID of the gateway's session (edge reference 1.5).
func (id ID) ClientID() string { return id.Product + "." + id.Gateway }

// Login is how a session proves who it is.
type Login string

// The logins. The password of LoginStatic is the secret of the device, that of LoginDynamic the secret of the product; the
// latter is good for nothing but asking for the former.
const (
	LoginStatic  Login = "1"
	LoginDynamic Login = "2"
)

// User is the MQTT user name for a login.
func (id ID) User(l Login) string { return id.Product + "|" + id.Gateway + "|" + string(l) }

// ParseUser reads a user name.
func ParseUser(user string) (ID, Login, bool) {
	parts := strings.Split(user, "|")
	if len(parts) != 3 {
		return ID{}, "", false
	}
	id, login := ID{Product: parts[0], Gateway: parts[1]}, Login(parts[2])
	return id, login, id.Valid() && (login == LoginStatic || login == LoginDynamic)
}

// Channel is what a topic of the link is for.
type Channel string

// The channels. All but the last three stand under ID.Topic; "up" is from the gateway to the cloud.
const (
	Hello      Channel = "hello"       // up: HelloMessage, after each connect
	DesiredGet Channel = "desired/get" // up: GetMessage; the answer is on Desired
	Reported   Channel = "reported"    // up: ReportedMessage, on change and now and then
	CmdAck     Channel = "cmd/ack"     // up: Ack
	Up         Channel = "up"          // up: UpBatch, messages of routes that lead to the cloud
	Will       Channel = "will"        // up, by the broker when the gateway is lost: WillMessage
	Desired    Channel = "desired"     // down: Envelope around a Document
	Cmd        Channel = "cmd"         // down: Command
	UpAck      Channel = "up/ack"      // down: UpAckMessage
)

// UpChannels are those that a gateway publishes on, and DownChannels those that it listens to.
var (
	UpChannels   = [...]Channel{Hello, DesiredGet, Reported, CmdAck, Up, Will}
	DownChannels = [...]Channel{Desired, Cmd, UpAck}
)

const root = "/edge/v1/"

// Own is the prefix of the platform's topics of the gateway, without a "/" at the end (edge reference 1.5).
func (id ID) Own() string { return "/$system/" + id.Product + "/" + id.Gateway }

// Topic of a channel.
func (id ID) Topic(c Channel) string { return id.Own() + root + string(c) }

// Password is where a session of LoginDynamic asks for its secret with a PasswordRequest, and PasswordReply where it is told
// by a PasswordAnswer.
func (id ID) Password() string { return id.Own() + "/password" }

// PasswordReply is the answer's topic; see Password.
func (id ID) PasswordReply() string { return id.Own() + "/password_reply" }

// Status is where the platform tells subscribers that the gateway has come or gone, by a StatusEvent.
func (id ID) Status() string { return id.Own() + "/device/status" }

// Resync is where all gateways of a product are asked for a Hello after a random wait of up to ResyncSpread.
func Resync(product string) string { return "/" + product + "/$broadcast" + root + "resync" }

// ResyncSpread is in seconds.
const ResyncSpread = 30

// ParseTopic reads a topic that a gateway publishes on or listens to.
func ParseTopic(topic string) (ID, Channel, bool) {
	rest, ok := strings.CutPrefix(topic, "/$system/")
	if !ok {
		return ID{}, "", false
	}
	product, rest, _ := strings.Cut(rest, "/")
	gateway, rest, _ := strings.Cut(rest, "/")
	id := ID{Product: product, Gateway: gateway}
	channel, ok := strings.CutPrefix("/"+rest, root)
	return id, Channel(channel), ok && id.Valid()
}

// Subscriptions of a gateway, all of QoS 1.
func (id ID) Subscriptions() []string {
	all := []string{Resync(id.Product)}
	for _, c := range DownChannels {
		all = append(all, id.Topic(c))
	}
	return all
}

// PasswordRequest and PasswordAnswer are UIoT's own dynamic registration (edge reference 1.5).
type PasswordRequest struct {
	RequestID string
}

// PasswordAnswer has a RetCode of 0 and the secret of the device, or another code and a Message.
type PasswordAnswer struct {
	RetCode   int
	RequestID string
	Password  string `json:",omitempty"`
	Message   string `json:",omitempty"`
}

// StatusEvent tells that a gateway has come or gone.
type StatusEvent struct {
	ProductSN string
	DeviceSN  string
	Status    string // "Online" or "Offline"
}

package remote

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// Account is a gateway that a broker shall let in.
type Account struct {
	ID     wire.ID
	Secret string
}

// Cloud is the account of the server itself.
type Cloud struct{ User, Password string }

const rounds = 101 // as mosquitto_passwd; the secrets are random, so more would guard nothing

// Mosquitto writes the password_file and the acl_file of a mosquitto broker, for the gateways given and the server. Gateways may
// use their own topics alone.
func Mosquitto(cloud Cloud, gateways []Account) (passwords, acl string, err error) {
	var pass, rules strings.Builder
	add := func(user, password string) error {
		var salt [12]byte
		rand.Read(salt[:]) // never fails
		hash, err := pbkdf2.Key(sha512.New, password, salt[:], rounds, sha512.Size)
		if err == nil {
			fmt.Fprintf(&pass, "%s:$7$%d$%s$%s\n", user, rounds, base64.StdEncoding.EncodeToString(salt[:]), base64.StdEncoding.EncodeToString(hash))
		}
		return err
	}
	if err := add(cloud.User, cloud.Password); err != nil {
		return "", "", err
	}
	fmt.Fprintf(&rules, "user %s\ntopic readwrite /#\n", cloud.User)
	for _, g := range gateways {
		user := g.ID.User(wire.LoginStatic)
		if err := add(user, g.Secret); err != nil {
			return "", "", err
		}
		fmt.Fprintf(&rules, "\nuser %s\n", user)
		for _, c := range wire.UpChannels {
			fmt.Fprintf(&rules, "topic write %s\n", g.ID.Topic(c))
		}
		for _, c := range wire.DownChannels {
			fmt.Fprintf(&rules, "topic read %s\n", g.ID.Topic(c))
		}
		fmt.Fprintf(&rules, "topic read %s\ntopic read %s\n", g.ID.Status(), wire.Resync(g.ID.Product))
		fmt.Fprintf(&rules, "topic readwrite /%s/%s/#\n", g.ID.Product, g.ID.Gateway)
	}
	return pass.String(), rules.String(), nil
}

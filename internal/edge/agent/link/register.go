package link

import (
	"context"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/uuid"

	"github.com/hanshu-faas/hanshu/internal/edge/wire"
)

// Register asks for the secret of a gateway with that of its product (edge reference 1.5, dynamic). It is told once.
func Register(ctx context.Context, e wire.Enrollment, productSecret string) (string, error) {
	answers := make(chan wire.PasswordAnswer, 1)
	l, err := New(Config{Enrollment: e, Clock: time.Now})
	if err != nil {
		return "", err
	}
	s := &session{lost: make(chan error, 1)}
	o := l.options(ctx, s)
	o.SetUsername(l.id.User(wire.LoginDynamic)).SetPassword(productSecret).UnsetWill()
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		var a wire.PasswordAnswer
		if m.Topic() == l.id.PasswordReply() && wire.Decode(m.Payload(), &a) == nil {
			select {
			case answers <- a:
			default:
			}
		}
	})
	client := paho.NewClient(o)
	defer client.Disconnect(quiesce)
	if err := wait(ctx, client.Connect(), connecting); err != nil {
		return "", fmt.Errorf("register with the cloud: %w", err)
	}
	if err := wait(ctx, client.Subscribe(l.id.PasswordReply(), 1, nil), connecting); err != nil {
		return "", fmt.Errorf("register with the cloud: %w", err)
	}
	ask, err := wire.Encode(wire.PasswordRequest{RequestID: uuid.NewString()})
	if err != nil {
		return "", err
	}
	if err := wait(ctx, client.Publish(l.id.Password(), 1, false, ask), sending); err != nil {
		return "", fmt.Errorf("register with the cloud: %w", err)
	}
	late := time.NewTimer(connecting)
	defer late.Stop()
	select {
	case a := <-answers:
		if a.RetCode != 0 || a.Password == "" {
			return "", fmt.Errorf("the cloud refuses to register this gateway: %s (%d)", a.Message, a.RetCode)
		}
		return a.Password, nil
	case err := <-s.lost:
		return "", fmt.Errorf("register with the cloud: %w", err)
	case <-late.C:
		return "", fmt.Errorf("register with the cloud: no answer")
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/hanshu-faas/hanshu/internal/auth"
	"github.com/hanshu-faas/hanshu/internal/config"
)

// lockDataDir makes the data directory if need be, closes it to other users, and keeps every other process out of it.
func lockDataDir(dir string) (func() error, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("close data directory to others: %w", err)
	}
	return lockFile(filepath.Join(dir, "lock"))
}

const adminName = "admin.json"

// adminFile is DIR/admin.json, mode 0600: how to reach this server, and as whom.
type adminFile struct {
	Endpoint  string `json:"endpoint"`
	Region    string `json:"region"`
	ProjectID string `json:"project_id"`
	DomainID  string `json:"domain_id"`
	Domain    string `json:"domain"`
	User      string `json:"user"`
	Password  string `json:"password"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`

	Minapp minappClient `json:"minapp"`
}

// minappClient is the application that the open API's clients log in as.
type minappClient struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

// adminStore is what the owner's credentials are kept in.
type adminStore interface {
	auth.Store
	auth.ClientStore
}

// ensureAdmin makes the owner and the file at the first start. Later it keeps the file's endpoint true, and makes new
// credentials when the file is gone: whoever can write to the data directory is entitled to them.
func ensureAdmin(ctx context.Context, cfg config.Config, db adminStore, sealer *auth.Sealer, addr net.Addr, log *slog.Logger) (f adminFile, err error) {
	path := filepath.Join(cfg.DataDir, adminName)
	endpoint := "http://" + addr.String()
	data, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(data, &f); err != nil {
			return f, fmt.Errorf("read %s: %w; remove it for new credentials", path, err)
		}
		if f.Endpoint == endpoint && f.Minapp.ClientID != "" {
			return f, nil
		}
		f.Endpoint = endpoint
		if f.Minapp.ClientID == "" { // written by an older release
			if err := f.addClient(ctx, db); err != nil {
				return f, err
			}
		}
		return f, writeAdmin(path, f)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	c, err := auth.EnsureOwner(ctx, db, sealer, cfg.Region)
	if err == nil && c == nil {
		log.Warn("the admin file was gone; the administrator has a new password and key", "file", path)
		c, err = auth.ResetOwner(ctx, db, sealer, cfg.Region)
	}
	if err != nil {
		return f, err
	}
	f = adminFile{
		Endpoint: endpoint, Region: cfg.Region, ProjectID: c.ProjectID, DomainID: c.DomainID, Domain: c.Domain,
		User: c.User, Password: c.Password, AccessKey: c.AccessKey, SecretKey: c.SecretKey,
	}
	if err := f.addClient(ctx, db); err != nil {
		return f, err
	}
	return f, writeAdmin(path, f)
}

func (f *adminFile) addClient(ctx context.Context, db adminStore) (err error) {
	f.Minapp.ClientID, f.Minapp.ClientSecret, err = auth.EnsureClient(ctx, db, db, f.ProjectID)
	return err
}

// writeAdmin replaces the file whole, so that a reader never sees half of it.
func writeAdmin(path string, f adminFile) error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".admin-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(data, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

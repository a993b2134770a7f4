package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pdexbulk/dev/client"
	"pdexbulk/dev/demo"
	"pdexbulk/dev/system"
	"pdexbulk/models"
)

// partners are registered at every start: the payer that asks, and a back end that may export everything.
var partners = []system.Partner{
	demo.Requester,
	{ID: "plan-warehouse", Name: "Data warehouse of the plan", Kind: models.ClientBackend, Scopes: []string{"system/*.rs"}},
}

// credentials is what a partner needs to get tokens. It is kept in the state folder, for the developer's eyes only.
type credentials struct {
	ClientID string          `json:"clientId"`
	BaseURL  string          `json:"baseUrl"`
	Scope    string          `json:"scope"`
	Key      json.RawMessage `json:"key"` // a private JWK
}

func credentialsPath(dir, id string) string { return filepath.Join(dir, "clients", id+".json") }

func readCredentials(dir, id string) (credentials, error) {
	var c credentials
	text, err := os.ReadFile(credentialsPath(dir, id))
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(text, &c)
}

// register registers a partner with the key it has, or a fresh one, and keeps its credentials.
func register(ctx context.Context, sys *system.System, dir string, p system.Partner) error {
	kept, err := readCredentials(dir, p.ID)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read credentials: %w", err)
	}
	var key *client.Key
	if len(kept.Key) > 0 {
		key, err = client.ParseKey(kept.Key)
	} else {
		key, err = client.NewKey(client.ES384)
	}
	if err != nil {
		return err
	}
	if _, err := sys.RegisterKey(ctx, p, key); err != nil {
		return err
	}
	private, err := json.Marshal(key)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(credentials{p.ID, sys.Base, strings.Join(p.Scopes, " "), private}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(credentialsPath(dir, p.ID)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(credentialsPath(dir, p.ID), text, 0o600)
}

// Token gets an access token for a partner of the stack on dir ("" as in Options), which must be running.
func Token(ctx context.Context, dir, id string) (string, error) {
	dir, err := folder(dir)
	if err != nil {
		return "", err
	}
	known := slices.ContainsFunc(partners, func(p system.Partner) bool { return p.ID == id })
	if !known {
		return "", errors.New("no such partner: name " + partners[0].ID + " or " + partners[1].ID)
	}
	c, err := readCredentials(dir, id)
	if errors.Is(err, os.ErrNotExist) {
		return "", errors.New(`there are no credentials yet: "make run" makes them`)
	}
	if err != nil {
		return "", fmt.Errorf("read credentials: %w", err)
	}
	key, err := client.ParseKey(c.Key)
	if err != nil {
		return "", err
	}
	token, err := client.New(client.Config{BaseURL: c.BaseURL, ClientID: c.ClientID, Key: key, Scope: c.Scope}).Token(ctx)
	if err != nil {
		return "", fmt.Errorf(`is "make run" up? %w`, err)
	}
	return token, nil
}

package cluster

import (
	"context"
	"time"
)

// SetRetirement implements [namespace.Cluster].
func (c *Cluster) SetRetirement(fullName string, epoch uint64, retirement time.Duration) {}

// Dismiss implements [namespace.Cluster].
func (c *Cluster) Dismiss(ctx context.Context, fullName string) error { return nil }

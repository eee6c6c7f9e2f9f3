//go:build tools

// Package tools names what is built from this module, so that `go mod tidy` keeps all that it needs.
package tools

import (
	_ "github.com/influxdata/influxdb/v2/cmd/influxd/downgrade"
	_ "github.com/influxdata/influxdb/v2/cmd/influxd/inspect"
	_ "github.com/influxdata/influxdb/v2/cmd/influxd/launcher"
	_ "github.com/influxdata/influxdb/v2/cmd/influxd/recovery"
	_ "github.com/influxdata/influxdb/v2/cmd/influxd/upgrade"
	_ "github.com/influxdata/pkg-config"
)

// Carriers says when parcels would arrive and where they are: gRPC over HTTP/2 without TLS, behind the mesh.
//
// Variables: PORT and ONDOL_DATA from Ondol; CARRIERS_LATENCY, how long Quote and Book take (250ms; 0s is as fast as can be);
// CARRIERS_DAY, how long a day of a parcel's journey lasts (24h; the shop's manifest makes it a minute, so that one sees parcels
// move, while the promised days stay those of the calendar); LOG, the least level of log lines (info).
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"shop.example/carriers/internal/server"
	"shop.example/carriers/internal/store"
)

//go:generate ./generate.sh

func main() {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	if err := run(stop, os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

type settings struct {
	server.Settings
	address string
	file    string
	level   slog.Level
}

func read(getenv func(string) string) (settings, error) {
	var s settings
	port, err := strconv.ParseUint(getenv("PORT"), 10, 16)
	if err != nil {
		return s, fmt.Errorf("PORT is %q: expected a port number", getenv("PORT"))
	}
	s.address = net.JoinHostPort("127.0.0.1", strconv.FormatUint(port, 10))
	folder := getenv("ONDOL_DATA")
	if folder == "" {
		return s, errors.New("ONDOL_DATA is not set: expected the folder of this service's data")
	}
	s.file = filepath.Join(folder, "carriers.db")
	if s.Latency, err = duration(getenv, "CARRIERS_LATENCY", "250ms", 0); err != nil {
		return s, err
	}
	if s.Day, err = duration(getenv, "CARRIERS_DAY", "24h", time.Millisecond); err != nil {
		return s, err
	}
	if text := getenv("LOG"); text != "" {
		if err := s.level.UnmarshalText([]byte(text)); err != nil {
			return s, fmt.Errorf("LOG is %q: expected debug, info, warn or error", text)
		}
	}
	return s, nil
}

func duration(getenv func(string) string, name, otherwise string, least time.Duration) (time.Duration, error) {
	text := getenv(name)
	if text == "" {
		text = otherwise
	}
	value, err := time.ParseDuration(text)
	if err != nil || value < least {
		return 0, fmt.Errorf("%s is %q: expected a duration of %v or more, such as 250ms", name, text, least)
	}
	return value, nil
}

func run(stop context.Context, getenv func(string) string) error {
	settings, err := read(getenv)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(settings.file), 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	bookings, err := store.Open(settings.file)
	if err != nil {
		return err
	}
	defer bookings.Close() // Bookings are synced one by one; nothing is left to write.
	log := server.NewLogger(os.Stdout, settings.level)
	service := server.New(bookings, settings.Settings, log)
	listener, err := net.Listen("tcp", settings.address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.Info("serving", "address", listener.Addr().String(), "latency", settings.Latency.String(), "day", settings.Day.String())
	stopped := context.AfterFunc(stop, service.Stop)
	defer stopped()
	return service.Serve(listener)
}

//go:build race

package main

// raced is whether the tests, and the servers that they kill, have the race detector.
const raced = true

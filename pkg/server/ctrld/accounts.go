package ctrld

var accountCommands = map[string]command{}

package main

// mailFigures are those of SMTP, POP3 and delivery.
func mailFigures() []figure { return nil }

// mailCurves are drawn beside useradd over the number of sessions: how many a second.
func mailCurves() []curve { return nil }

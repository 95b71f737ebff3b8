package eventbusnats_test

const childVariable = "EVENTBUSNATS_CHILD"

func runChild(string) int { return 1 }

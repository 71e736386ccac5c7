# On the leaving machine: whether it lets in at all.
main() { :; }

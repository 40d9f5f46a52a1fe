"""`pulumi up -s STACK` enters here."""

from infra.environments import main

main()

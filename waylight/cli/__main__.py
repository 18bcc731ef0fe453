from waylight.cli import cli

cli(prog_name="waylight")

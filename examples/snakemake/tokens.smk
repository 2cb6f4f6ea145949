# Tokens of a cohort, extracted by as many jobs as there are cores, GPUs or nodes; any of them may be killed.
#
#     snakemake -s examples/snakemake/tokens.smk --cores 8 --config encoder=concepts.toml tokens=tokens n=8
#     snakemake -s examples/snakemake/tokens.smk --executor slurm --jobs 32 --config encoder=concepts.toml tokens=tokens n=32
#
# All jobs write to one folder that they can all see. Each makes every n-th shard; a shard counts only when the mark
# beside it says so. A job that is killed goes on with its next unfinished shard when it runs again (--retries, or the
# same command), and so does a whole extraction that was given more jobs (another n) in between: finished shards stay.

CONFIG = config.get("encoder", "concepts.toml")
FOLDER = config.get("tokens", "tokens")
N = int(config.get("n", 4))


rule all:
    input:
        expand(FOLDER + "/jobs/{i}_of_" + str(N), i=range(N)),


rule tokens:
    input:
        CONFIG,
    output:
        touch(FOLDER + "/jobs/{i}_of_" + str(N)),
    retries: 3
    threads: 1
    shell:
        "trilineage concepts tokens --config {input} --shard {wildcards.i}/{N} --out {FOLDER}"

"""Table 1: ours, StarGAN and DNA-GAN on bangs, smiling and eyeglasses, with the same budget and the same measures.

    python benchmarks/table1.py --data CELEBA --judge JUDGE --feature-network squeezenet-fire9.onnx \\
        --identity-network FACES.onnx --images 96000 --out RUNS

The same command again goes on where it stopped. Writes docs/results/table1.json and docs/results.md.
"""

from tables import Model, Table, main

TABLE = Table(
    name="table1",
    title="Table 1: ours beside StarGAN and DNA-GAN",
    models=(
        Model("ours", "ours", 45.23),
        Model("StarGAN", "stargan", 78.90, "stargan"),
        Model("DNA-GAN", "dna-gan", 76.08, "dna-gan"),
    ),
    compared="ours",
)

if __name__ == "__main__":
    main(TABLE, __doc__)

"""A variational autoencoder (Kingma & Welling, 2014) that learns digits while they stream past. See README.md."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from pamiq_async import Environment, FixedIntervalInteraction, LaunchConfig, run
from pamiq_async.data.impls import RandomReplacementBuffer
from pamiq_async.torch import OptimizersSetup, TorchAgent, TorchTrainer, TorchTrainingModel
from pamiq_async.utils.schedulers import TimeIntervalScheduler

PIXELS = 8 * 8
HIDDEN_UNITS = 256
LATENTS = 12

SECONDS_PER_DIGIT = 0.005
REMEMBERED_DIGITS = 1_000
NEW_DIGITS_PER_TRAINING = 10
UPDATES_PER_TRAINING = 20
BATCH_SIZE = 64
LEARNING_RATE = 1e-3

HELD_OUT = 300
COLUMNS = 16  # of the picture


class VAE(nn.Module):
    """Squeezes a digit into a few numbers, its latents, and draws it again from those."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(PIXELS, HIDDEN_UNITS), nn.ReLU(), nn.Linear(HIDDEN_UNITS, 2 * LATENTS))
        self.decoder = nn.Sequential(nn.Linear(LATENTS, HIDDEN_UNITS), nn.ReLU(), nn.Linear(HIDDEN_UNITS, PIXELS))

    def forward(self, digits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the pixels, drawn from random latents; mean and log variance of what those were drawn from."""
        mean, log_variance = self.encoder(digits).chunk(2, dim=-1)
        latents = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.decoder(latents), mean, log_variance

    def reconstruct(self, digits: Tensor) -> Tensor:
        """What is left of the digits, without chance."""
        mean, _ = self.encoder(digits).chunk(2, dim=-1)
        return self.decode(mean)

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder(latents).sigmoid()


class DigitStream(Environment[Tensor, Tensor]):
    """Shows one digit after the other, in a new order each time round, and now and then what the agent made of it."""

    def __init__(self, digits: Tensor) -> None:
        super().__init__()
        self.digits = digits
        self.order: list[int] = []
        self.print_schedule = TimeIntervalScheduler(10.0, self.print)

    def observe(self) -> Tensor:
        self.order = self.order or torch.randperm(len(self.digits)).tolist()
        self.digit = self.digits[self.order.pop()]
        return self.digit

    def affect(self, reconstruction: Tensor) -> None:
        self.reconstruction = reconstruction
        self.print_schedule.update()

    def print(self) -> None:
        for row in torch.cat([self.digit.view(8, 8), torch.zeros(8, 2), self.reconstruction.view(8, 8)], dim=1):
            print("".join(2 * " ░▒▓█"[round(4 * pixel)] for pixel in row.tolist()))


class Eye(TorchAgent[Tensor, Tensor]):
    """Hands each digit on to be learnt, and answers with its reconstruction."""

    def __init__(self, held_out: Tensor) -> None:
        super().__init__()
        self.held_out = held_out
        self.digits_seen = 0
        self.report_schedule = TimeIntervalScheduler(3.0, self.report)

    def on_inference_models_attached(self) -> None:
        self.vae = self.get_torch_inference_model("vae", VAE)

    def on_data_collectors_attached(self) -> None:
        self.digits = self.get_data_collector("digits")

    def setup(self) -> None:
        super().setup()
        self.at_start = self.report()  # a state, if there is one, has been loaded

    def step(self, digit: Tensor) -> Tensor:
        self.digits_seen += 1
        self.report_schedule.update()
        self.digits.collect(digit)
        return self.vae(digit)

    def teardown(self) -> None:
        super().teardown()
        self.at_end = self.report()

    def report(self) -> Tensor:
        reconstructions = self.vae(self.held_out)
        error = F.mse_loss(reconstructions, self.held_out)
        print(f"{self.digits_seen:6,} digits seen   reconstruction error of held-out ones {error:.4f}", flush=True)
        return reconstructions

    def save_state(self, path: Path) -> None:
        super().save_state(path)
        path.mkdir(exist_ok=True)
        (path / "digits_seen.txt").write_text(str(self.digits_seen), encoding="utf-8")

    def load_state(self, path: Path) -> None:
        super().load_state(path)
        self.digits_seen = int((path / "digits_seen.txt").read_text(encoding="utf-8"))

    def invent(self, count: int) -> Tensor:
        """Digits that nobody wrote."""
        with self.vae.unwrap() as vae:  # the acting module itself, to call another of its methods
            return vae.decode(torch.randn(count, LATENTS))


class VAETrainer(TorchTrainer):
    """Raises the evidence lower bound: good reconstructions from latents that are close to normal ones."""

    def __init__(self) -> None:
        super().__init__("digits", min_buffer_size=BATCH_SIZE, min_new_data_count=NEW_DIGITS_PER_TRAINING)

    def on_training_models_attached(self) -> None:
        self.vae = self.get_torch_training_model("vae", VAE)

    def on_data_users_attached(self) -> None:
        self.digits = self.get_data_user("digits")

    def create_optimizers(self) -> OptimizersSetup:
        return {"adam": torch.optim.Adam(self.vae.model.parameters(), lr=LEARNING_RATE)}

    def train(self) -> None:
        digits = torch.stack(self.digits.get_data())
        for _ in range(UPDATES_PER_TRAINING):
            self.update(digits[torch.randint(len(digits), (BATCH_SIZE,))])

    def update(self, batch: Tensor) -> None:
        logits, mean, log_variance = self.vae(batch)
        reconstruction = F.binary_cross_entropy_with_logits(logits, batch, reduction="sum")
        divergence = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum()  # from the standard normal
        self.optimizers["adam"].zero_grad()
        ((reconstruction + divergence) / len(batch)).backward()
        self.optimizers["adam"].step()


def save_picture(path: Path, *rows: Tensor) -> None:
    """Write digits as rows of a greyscale image, dark on light."""
    tiles = torch.stack(rows).view(len(rows), -1, 8, 8)
    framed = F.pad(tiles, (1, 1, 1, 1))
    pixels = framed.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
    image = Image.fromarray((255 * (1 - pixels)).byte().numpy())
    image.resize((6 * image.width, 6 * image.height), Image.Resampling.NEAREST).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a VAE on a stream of digits.")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights, the digits' order and all chances")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to run (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on from the latest state in --states-dir")
    parser.add_argument("--states-dir", type=Path, default=Path("states/digits_vae"), help="default: %(default)s")
    parser.add_argument("--picture", type=Path, default=Path("digits_vae.png"), help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8319, help="of the control server; 0: a free one (default: 8319)")
    args = parser.parse_args()
    if args.picture.suffix.lower() not in Image.registered_extensions():
        parser.error(f"--picture is {args.picture}; its name must end in .png or another format's suffix")
    if not args.picture.parent.is_dir():
        parser.error(f"--picture is {args.picture}, but there is no directory {args.picture.parent}")

    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # the modules are small; more threads would only take turns with the agent
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # says where the control server listens
    digits = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    held_out = digits[-HELD_OUT:]
    eye = Eye(held_out)
    run(
        FixedIntervalInteraction.with_sleep_adjustor(eye, DigitStream(digits[:-HELD_OUT]), SECONDS_PER_DIGIT),
        models={"vae": TorchTrainingModel(VAE(), inference_procedure="reconstruct")},
        data={"digits": RandomReplacementBuffer(REMEMBERED_DIGITS)},
        trainers={"vae": VAETrainer()},
        config=LaunchConfig(
            states_dir=args.states_dir,
            saved_state_path="latest" if args.resume else None,
            max_keep_states=3,
            max_uptime=args.seconds,
            web_api_address=("localhost", args.port),
        ),
    )
    save_picture(args.picture, *(row[:COLUMNS] for row in (held_out, eye.at_start, eye.at_end)), eye.invent(COLUMNS))
    print(f"{args.picture} shows, from top to bottom: originals, reconstructions at the start, at the end, inventions.")


if __name__ == "__main__":
    main()

# A server of saved models, on the CPU, that is not run by root:
#   docker build -t skpatch .
#   docker run -p 127.0.0.1:8000:8000 -v "$PWD/models:/models:ro" -e SKPATCH_API_KEY=... skpatch
# Any other command: docker run -v "$PWD:/data" skpatch score /data/line.skpatch /data/new -o ...
FROM python:3.13-slim

# Without the libraries of GPUs, which are 5 GB.
RUN pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml README.md LICENSE /skpatch/
COPY skpatch /skpatch/skpatch
RUN pip install --no-cache-dir "/skpatch[serve]"

RUN useradd --create-home skpatch
USER skpatch
WORKDIR /home/skpatch
# Compile the loops now, instead of at each start.
RUN python -c "import skpatch; skpatch.make_pipeline(skpatch.PatchFeatureExtractor(image_size=64), skpatch.SoftPatchDetector()).fit(skpatch.datasets.make_contaminated_images(20, 2, image_size=64).images).inspect(skpatch.datasets.make_contaminated_images(2, 1, image_size=64, random_state=1).images)"
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import os, urllib.request as ask; ask.urlopen(ask.Request('http://localhost:8000/health', headers={'X-API-Key': os.environ['SKPATCH_API_KEY']}))"]
ENTRYPOINT ["skpatch"]
CMD ["serve", "/models/line.skpatch", "--host", "0.0.0.0"]
